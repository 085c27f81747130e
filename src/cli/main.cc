#include "cli/main.h"

#include <algorithm>
#include <cstddef>
#include <optional>
#include <ostream>
#include <sstream>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

#include "base/fs.h"
#include "base/schema.h"
#include "base/strings.h"
#include "cli/alarm_commands.h"
#include "cli/api_client.h"
#include "cli/commands.h"
#include "cli/rollout_commands.h"
#include "cli/schema_commands.h"
#include "cli/table.h"

namespace leadsman::cli {
namespace {

constexpr const char* kDefaultServer = "http://127.0.0.1:8502";

constexpr const char* kFooter =
    "Exit codes: 0 done, 1 failed, 2 wrong usage or configuration,\n"
    "            3 server unreachable, 4 not found; `rollout watch`: 0 promoted,\n"
    "            10 rolled back, 11 aborted, 12 held (with --until-held);\n"
    "            `prove-quiet`: 13 something would have fired;\n"
    "            `rollout replay`: 14 it comes to something else.\n"
    "Environment: LEADSMAN_SERVER is the default of --server; NO_COLOR switches colours off.\n"
    "Begin with:  leadsman serve --model-repository ./models\n"
    "or:          leadsman monitor --log access.log --once";

/// Of the commands that have none of their own.
constexpr const char* kCommonFooter =
    "Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 server unreachable,\n"
    "            4 not found.\n"
    "Environment: LEADSMAN_SERVER is the default of --server; NO_COLOR switches colours off.";

constexpr const char* kAlarmsFooter =
    "Examples:\n"
    "  leadsman alarms                                   pending, firing, resolved within a day\n"
    "  leadsman alarms --model credit --check            1 when one fires that is not silenced\n"
    "  leadsman alarms show 1700000000000                its evidence; the id is in the list\n"
    "  leadsman alarms silence --model credit --kind error_burn --for 2h --comment \"known\"\n"
    "  leadsman alarms silences\n"
    "  leadsman alarms unsilence 1\n"
    "\n"
    "Exit codes: 0 done, 1 failed or --check found one, 2 wrong usage, 3 server unreachable,\n"
    "            4 not found.";

constexpr const char* kServeFooter =
    "Examples:\n"
    "  leadsman serve --model-repository ./models       each sub-folder is a model,\n"
    "                                          as ./models/digits/1/manifest.json\n"
    "  leadsman serve --model digits=./models/digits    one model\n"
    "  leadsman serve --config leadsman.yaml            with rollouts and monitoring\n"
    "  leadsman serve --config leadsman.yaml --check-config\n"
    "\n"
    "A version is a folder with the model's file in it. Write a manifest.json\n"
    "last: a folder without one is taken once its files have rested for 5 s. Then:\n"
    "  curl -d '{\"instances\": [[…]]}' http://127.0.0.1:8501/v1/models/digits:predict\n"
    "  curl http://127.0.0.1:8501/v2/models/digits/infer -d '{\"inputs\": [{\n"
    "    \"name\": \"x\", \"datatype\": \"FP32\", \"shape\": [1, 64], \"data\": […]}]}'\n"
    "  leadsman status\n"
    "\n"
    "With flags of tensorflow_model_server (--model_name, --rest_api_port, …) the whole\n"
    "line is read as of that program: leadsman tensorflow_model_server --help\n"
    "\n"
    "Flags win over the file. SIGTERM finishes the running requests first; a second one\n"
    "skips the delay before, a third cuts what runs, a fourth ends at once.";

constexpr const char* kMonitorFooter =
    "Examples:\n"
    "  leadsman monitor --log /var/log/nginx/access.log\n"
    "  leadsman monitor --log access.log --once             what an old log tells\n"
    "  leadsman monitor --log '/var/log/pods/ml_*/*/*.log'  containers on a node\n"
    "  leadsman monitor --log app.jsonl --model iris --field predicted=label \\\n"
    "      --field feature.age=input.age --field request_id=rid\n"
    "  leadsman monitor --cloudevents-port 8503             what KServe's logger sends\n"
    "  leadsman monitor --envoy-port 9901                   what Envoys tell, see docs/envoy.md\n"
    "  leadsman monitor --log predictions.csv --once        a capture file: header, a row each\n"
    "  leadsman monitor --edges                             what edges send, see docs/edges.md\n"
    "  leadsman monitor --config leadsman.yaml              with monitor.logs, monitor.envoy\n"
    "  leadsman monitor --log app.log --explain-privacy     what would be kept, and where\n"
    "\n"
    "Fields, among others: time, method, path, status, latency_ms, latency_seconds, request_id,\n"
    "model, version, predicted, score, label, features, feature.NAME; docs/log-files.md.\n"
    "\n"
    "What each file was recognised as stands in the log. Then:\n"
    "  curl http://127.0.0.1:8502/metrics | grep leadsman_monitor\n"
    "  curl http://127.0.0.1:8502/api/v1/logs\n"
    "  leadsman labels add r-17 7\n"
    "\n"
    "Where reading has come to is kept in --data-dir: a restart goes on there. SIGTERM keeps\n"
    "it and ends with 0. --once: 0 all was read, 1 some of it was not, 2 wrong usage, 4 no\n"
    "file is there.";

constexpr const char* kGatewayFooter =
    "Examples:\n"
    "  leadsman gateway --config gateway.yaml\n"
    "  leadsman gateway --config gateway.yaml --check-config\n"
    "\n"
    "The smallest file:\n"
    "  gateway:\n"
    "    listeners: [{port: 8080}]\n"
    "    services:\n"
    "      - name: digits\n"
    "        versions:\n"
    "          - {version: 1, endpoints: [\"10.0.0.1:5000\"], weight: 95%}\n"
    "          - {version: 2, endpoints: [\"10.0.0.2:5000\"], weight: 5%}\n"
    "\n"
    "Then: leadsman status, and other weights, until the process ends:\n"
    "  curl -X PUT http://127.0.0.1:8502/api/v1/gateway/services/digits/weights \\\n"
    "    -d '{\"weights\": {\"1\": \"50%\", \"2\": \"50%\"}}'\n"
    "A rollout decides by itself: `models` with a name and a rollout, see docs/gateway.md.\n"
    "SIGTERM answers what has begun first; a second one skips the delay before, a third\n"
    "cuts what runs, a fourth ends at once.";

constexpr const char* kRolloutFooter =
    "Examples:\n"
    "  leadsman rollout list --model digits\n"
    "  leadsman rollout show digits                      its newest rollout\n"
    "  leadsman rollout watch digits --version 7 && echo promoted\n"
    "  leadsman rollout pause digits                     and resume\n"
    "  leadsman rollout promote digits                   out of its step: gives the approval\n"
    "  leadsman rollout promote 12 --full                all traffic, evidence or not\n"
    "  leadsman rollout abort 12\n"
    "  leadsman rollout retry digits                     again, after a rejection\n"
    "  leadsman rollout undo digits                      back to the version before\n"
    "  leadsman rollout start digits 7\n"
    "  leadsman rollout start digits 7 --plan plan.yaml  of a gateway's service, without one "
    "there\n"
    "  leadsman rollout plan digits --simulate           before it starts: how long, what is "
    "found\n"
    "  leadsman rollout record 12 > 12.json              all that the verdict was made of\n"
    "  leadsman rollout replay 12.json                   compute it again, without a server\n"
    "Exit codes of watch: 0 promoted (its probation may go on), 10 rolled back, 11 aborted, 12 "
    "held (with\n"
    "--until-held), 4 no such rollout.";

constexpr const char* kRecordFooter =
    "Examples:\n"
    "  leadsman rollout record digits > verdict.json     of its newest rollout\n"
    "  leadsman rollout replay verdict.json              on any machine, without the server\n"
    "\n"
    "A JSON object with the plan, what was counted in each tick, decisions with their reasons, "
    "and\n"
    "e-values; a line for each tick. Of a rollout that is under way, as far as it has come.";

constexpr const char* kReplayFooter =
    "Examples:\n"
    "  leadsman rollout replay verdict.json              a record, without a server\n"
    "  leadsman rollout record 12 | leadsman rollout replay -\n"
    "  leadsman rollout replay digits                    the newest rollout, from the server\n"
    "  leadsman rollout replay 12 --alpha 0.05           what if\n"
    "\n"
    "HARM and SAFE are how far the nearest gate is from a rollback and the last one from leaving\n"
    "the step, as logarithms: 100% is reached. With --alpha or --beta nothing is compared, and "
    "the\n"
    "requests stay those of the splits that were.\n"
    "Exit codes: 0 it comes to the same, 14 it does not (the first difference is named), 1 it is "
    "no\n"
    "record, 2 wrong usage, 3 server unreachable, 4 no such rollout.";

constexpr const char* kPlanFooter =
    "Examples:\n"
    "  leadsman rollout plan digits                      its plan in the traffic that it has\n"
    "  leadsman rollout plan digits --config new.yaml --requests-per-second 20 --error-rate 0.5%\n"
    "  leadsman rollout plan --requests-per-second 2 --error-rate 0.1%     the plan of `rollout: "
    "{}`\n"
    "  leadsman rollout plan --record verdict.json --simulate              traffic as it was\n"
    "  leadsman rollout plan digits --simulate=1000 --worse 3\n"
    "\n"
    "NEEDED are requests (or labels) of a candidate that is as good, until the gate has shown "
    "that\n"
    "it is safe, and TAKES how long that is at the step's share. FOUND is the least rate of bad\n"
    "events of a candidate that is taken back by then, typically: in the time expected for the\n"
    "step, and until max_duration. --simulate plays the plan by the engine with an equal "
    "candidate\n"
    "and with ones that have --worse times the bad events of a gate.";

constexpr const char* kDriftFooter =
    "Examples:\n"
    "  leadsman drift credit                  all versions that are compared\n"
    "  leadsman drift credit --version 3\n"
    "  leadsman drift reset credit            after a change that was meant\n"
    "  leadsman drift credit --json | jq '.versions[0].inputs.streams'\n"
    "\n"
    "SHIFT is in standard deviations of the reference. PSI, of the last window, is drift only "
    "well\n"
    "above NOISE, which one in a hundred windows exceeds without any. EVIDENCE says on a scale of\n"
    "logarithms how far along it is: 100% raises an alarm by itself, 50% is the square root of\n"
    "that. An alarm stays until the latest rows are back within the tolerance.";

constexpr const char* kSchemaFooter =
    "Examples:\n"
    "  leadsman schema infer train.csv -o schema.yaml\n"
    "  leadsman schema check new.csv --schema schema.yaml\n"
    "  leadsman schema diff old.yaml schema.yaml\n"
    "  leadsman schema show credit                       what the server holds requests against\n"
    "  leadsman schema show credit --json | jq '.versions[0].schema' > schema.json\n"
    "  leadsman schema relearn credit                    after a change that was meant";

constexpr const char* kSchemaInferFooter =
    "Examples:\n"
    "  leadsman schema infer train.csv                   to be read, and edited\n"
    "  leadsman schema infer train.csv -o schema.yaml\n"
    "  leadsman schema infer inputs.npz --margin 0       ranges exactly as the values\n"
    "  leadsman schema infer rows.jsonl --json\n"
    "\n"
    "A .csv has a header; a .jsonl an object or a list of values a line; a .npz a table of rows.\n"
    "Exit codes: 0 done, 2 it cannot be done.";

constexpr const char* kSchemaCheckFooter =
    "Examples:\n"
    "  leadsman schema check new.csv --schema schema.yaml && train new.csv\n"
    "  leadsman schema check new.jsonl --schema schema.yaml --json | jq .violating_rows\n"
    "\n"
    "Exit codes: 0 all rows keep the schema, 1 some do not, 2 it cannot be done.";

constexpr const char* kSchemaDiffFooter =
    "Examples:\n"
    "  leadsman schema diff old.yaml new.yaml\n"
    "  leadsman schema diff old.yaml new.json --json\n"
    "\n"
    "Exit codes: 0 no difference, 1 differences, 2 it cannot be done.";

constexpr const char* kSchemaRelearnFooter =
    "After a change of the inputs that was meant. Until the new schema is complete nothing is\n"
    "held against one.\n"
    "\n"
    "Examples:\n"
    "  leadsman schema relearn credit                    all versions\n"
    "  leadsman schema relearn credit --version 3";

constexpr const char* kSchemaShowFooter =
    "Examples:\n"
    "  leadsman schema show credit                       all versions\n"
    "  leadsman schema show credit --version 3\n"
    "  leadsman schema show credit --json | jq '.versions[0].schema' > schema.json";

constexpr const char* kQualityFooter =
    "Examples:\n"
    "  leadsman quality credit                  precision, recall, AUC, label coverage\n"
    "  leadsman quality credit --version 3\n"
    "  leadsman quality credit --by segment     requests and accuracy by monitoring.segments\n"
    "  leadsman quality credit --json | jq '.versions[0].classes.macro'\n"
    "\n"
    "By labels: `leadsman labels add`. Intervals are of Clopper and Pearson, by requests, and "
    "hold\n"
    "at one look; what has no measure (AUC without scores) is left out. See docs/quality.md.";

constexpr const char* kQuietFooter =
    "Examples:\n"
    "  leadsman prove-quiet --log 'logs/predictions*.jsonl' --field feature.age=input.age\n"
    "  leadsman prove-quiet --config leadsman.yaml      its logs, objectives and budget\n"
    "  leadsman prove-quiet history.csv --time-column at --answer-column answer\n"
    "                       --label-column truth\n"
    "  leadsman prove-quiet history.npz --requests-per-day 20000 --tolerance 0.1\n"
    "  leadsman prove-quiet history.csv --requests-per-day 20000 --json | jq .models\n"
    "\n"
    "The past goes through the detectors of a running server: errors, latency, accuracy,\n"
    "quality, traffic, schema, drift and risk. What it cannot tell of is named, with the reason.\n"
    "The first requests are the reference of drift and the example of the schema; what is said\n"
    "of the others, of which nothing is known to be wrong, is a false alarm. A change is put\n"
    "into up to ten days: the smallest is printed that is found on most of them. Of drift are\n"
    "tried 0.05, 0.1, 0.2, 0.5 and 1 σ of numbers, 5 to 100 % of spreads, 1, 2, 5, 10 and 20\n"
    "points of shares; of the others all shares from 0.01 % on.\n"
    "Exit codes: 0 no alarm, 13 some, 1 nothing could be replayed for an hour, 2 wrong usage,\n"
    "4 no prediction in the logs.";

constexpr const char* kModelsFooter =
    "Examples:\n"
    "  leadsman models                                   all models and versions\n"
    "  leadsman models digits --json | jq .versions\n"
    "  leadsman models label digits blessed 6            clients ask for labels/blessed\n"
    "  leadsman models inspect ./models/digits           what would be served of a folder";

constexpr size_t kHelpColumn = 34;  // where what an option means begins

/// CLI11 writes lines as long as they come: those of a help text for a terminal are broken here.
std::string HelpFor(const std::string& help, size_t columns) {
  std::string out;
  for (std::string_view line : Split(help, '\n')) {
    // An option and what it means are two columns; everything else is indented as it begins.
    bool two = line.size() > kHelpColumn && line[0] == ' ' && line[kHelpColumn - 1] == ' ' &&
               line[kHelpColumn] != ' ';
    size_t begin = std::min(line.find_first_not_of(' '), line.size());
    size_t indent = two && columns > kHelpColumn + 20 ? kHelpColumn : begin;
    out += DisplayWidth(line) > columns ? Wrapped(line, columns, indent) : std::string(line);
    out += '\n';
  }
  if (!out.empty()) out.pop_back();
  return out;
}

/// The text of a flag as a port; CLI11 alone would only say that it "could not convert" it.
CLI::Validator Port() {
  return CLI::Validator(
      [](std::string& text) {
        auto port = ParseInt64(text);
        return port && *port >= 0 && *port <= 65535
                   ? std::string()
                   : StrCat("must be a port from 0 to 65535, not ", text);
      },
      "");
}

/// The text of an argument as the number of a version.
CLI::Validator VersionNumber() {
  return CLI::Validator(
      [](std::string& text) {
        auto version = ParseInt64(text);
        return version && *version > 0 ? std::string()
                                       : StrCat("must be a version's number, as 3, not ", text);
      },
      "");
}

/// What a client command was given beside its own arguments.
struct ClientFlags {
  std::string server;
  net::TlsClientOptions tls;
  std::string token_file;
  std::string timeout = "10s";
  bool json = false;
};

class CommandLine {
 public:
  CommandLine(const AppHooks& hooks, Environment& env)
      : hooks_(hooks),
        env_(env),
        app_("Serves models, watches them, and lets the evidence decide on new versions.",
             "leadsman") {
    app_.require_subcommand(1);
    app_.footer(kCommonFooter);  // what a command begins with
    app_.set_version_flag("--version", StrCat("leadsman ", hooks.version));
    app_.failure_message(CLI::FailureMessage::simple);
    app_.get_formatter()->column_width(kHelpColumn);
    AddServe();
    AddMonitor();
    AddGateway();
    AddShow();
    AddDrift();
    AddSchema();
    AddQuality();
    AddProveQuiet();
    AddRollout();
    AddLabelsCommand();
    AddAlarms();
    AddConfig();
    app_.footer(kFooter);
  }

  int Run(int argc, const char* const* argv) {
    std::vector<std::string> words(argv, argv + std::max(argc, 0));
    if (std::optional<int> code = RunAsTensorFlow(words)) return *code;
    // Nothing was asked for: what there is. Nothing was done either, so the code says wrong usage.
    if (argc <= 1) {
      const std::string help = app_.help();
      env_.err << (env_.terminal ? HelpFor(help, static_cast<size_t>(env_.columns)) : help);
      return kUsage;
    }
    if (!KnowsCommand({argv + 1, argv + std::max(argc, 1)})) return kUsage;
    try {
      app_.parse(argc, argv);
    } catch (const CLI::ExtrasError&) {
      SayUnknown();
      return kUsage;
    } catch (const CLI::ParseError& e) {
      // Help and version are "errors" too, with the code 0.
      std::ostringstream out;
      bool ok = app_.exit(e, out, env_.err) == 0;
      env_.out << (env_.terminal ? HelpFor(out.str(), static_cast<size_t>(env_.columns))
                                 : out.str());
      return ok ? kOk : kUsage;
    }
    return action_ ? action_() : static_cast<int>(kUsage);
  }

 private:
  /// `tensorflow_model_server …`, by the program's name, as a command, or by its flags behind
  /// `serve`: its command line is another one ("--port" is gRPC's), and read elsewhere.
  std::optional<int> RunAsTensorFlow(const std::vector<std::string>& words) {
    if (!hooks_.tensorflow_model_server || words.empty()) return std::nullopt;
    std::string program = words[0].substr(words[0].rfind('/') + 1);
    bool entrypoint = program == "tf_serving_entrypoint.sh";
    size_t first = 1;
    if (program != "tensorflow_model_server" && !entrypoint) {
      if (words.size() < 2) return std::nullopt;
      bool flags = words[1] == "serve" &&
                   std::any_of(words.begin() + 2, words.end(), [&](const std::string& word) {
                     return hooks_.is_tensorflow_flag(word);
                   });
      if (words[1] != "tensorflow_model_server" && !flags) return std::nullopt;
      first = 2;
    }
    return hooks_.tensorflow_model_server(
        {words.begin() + static_cast<std::ptrdiff_t>(first), words.end()}, entrypoint);
  }

  /// False when a command is wanted where another word stands, which CLI11 would not name.
  bool KnowsCommand(const std::vector<std::string>& words) {
    const CLI::App* app = &app_;
    std::string before;
    for (const std::string& word : words) {
      if (word.starts_with('-') || app->get_require_subcommand_min() == 0) return true;
      std::vector<std::string> known;
      const CLI::App* next = nullptr;
      for (const CLI::App* sub : app->get_subcommands([](const CLI::App*) { return true; })) {
        known.push_back(sub->get_name());
        if (sub->get_name() == word) next = sub;
      }
      if (!next) {
        auto near = DidYouMean(word, known);
        env_.err << "leadsman: unknown command '" << before << Clean(word) << "'; "
                 << (near ? StrCat("did you mean ", before, *near, "?")
                          : StrCat("commands: ", HumanList(known)))
                 << '\n';
        return false;
      }
      before += word + " ";
      app = next;
    }
    return true;
  }

  /// What was not understood, in the order in which it was given: CLI11 turns it round, and knows no near names.
  void SayUnknown() {
    const CLI::App* app = &app_;
    std::string command = "leadsman";
    while (!app->get_subcommands().empty()) {
      app = app->get_subcommands().front();
      command += " " + app->get_name();
    }
    std::vector<std::string> known;
    for (const CLI::Option* option : app->get_options()) {
      for (const std::string& name : option->get_lnames()) known.push_back("--" + name);
    }
    for (const std::string& word : app_.remaining(true)) {
      const std::string name = word.substr(0, word.find('='));
      const bool option = word.starts_with('-') && word.size() > 1;
      env_.err << "leadsman: unknown " << (option ? "option " : "argument ") << Clean(word);
      auto near = option ? DidYouMean(name, known) : std::nullopt;
      if (near) env_.err << "; did you mean " << *near << '?';
      env_.err << '\n';
    }
    env_.err << "leadsman: see " << command << " --help\n";
  }

  void AddMonitor() {
    CLI::App* monitor = app_.add_subcommand(
        "monitor", "Watch services of models from outside, without changing them");
    monitor->footer(kMonitorFooter);
    MonitorFlags& f = monitor_;
    auto text = [&](const char* name, auto& value, const char* help, const char* type) {
      return monitor->add_option(name, value, help)->type_name(type);
    };
    text("--log", f.logs, "A log file, or a pattern with *, ?, [a-z] and ** (repeatable)", "PATH")
        ->allow_extra_args(false);
    text("--config,-c", f.config, "Configuration file (YAML) with monitor.logs, monitor.envoy",
         "FILE");
    monitor->add_flag("--check-config", f.check_config, "Check the configuration and end");
    monitor->add_flag("--explain-privacy", f.explain_privacy,
                      "Say what would be kept of requests, where, for how long, and what leaves");
    text("--model", f.model, "The model of requests whose path names none [default]", "NAME");
    text("--format", f.format,
         "access_log (nginx, Apache, gunicorn), envoy, uvicorn, json, logfmt, csv, "
         "sagemaker_capture, server_log or pattern [recognised from the first lines]",
         "FORMAT");
    text("--pattern", f.pattern, "A layout of lines of your own, or nginx's log_format", "PATTERN");
    text("--field", f.fields,
         "JSON, logfmt, CSV: where a field stands in a line, as latency_ms=timing.total "
         "(repeatable)",
         "NAME=WHERE")
        ->allow_extra_args(false);
    text("--prediction-path", f.prediction_paths,
         "A path that is a prediction, as /score or /api/* (repeatable)", "PATH")
        ->allow_extra_args(false);
    text("--integer-latency", f.integer_latency,
         "Access logs: unit of a whole number behind the user agent: us, ms, s or ns", "UNIT");
    text("--time-zone", f.time_zone, "Of times that name none [UTC]", "+HH:MM");
    monitor->add_flag("--from-beginning", f.from_beginning,
                      "At the first start read what is there already, too");
    text("--cloudevents-port", f.cloudevents_port,
         "Port for CloudEvents of KServe's or Seldon's loggers [none]", "PORT")
        ->check(Port());
    text("--cloudevents-address", f.cloudevents_address, "Where that port is [127.0.0.1]", "IP");
    text("--envoy-port", f.envoy_port, "Port at which Envoys tell of requests (gRPC)", "PORT")
        ->check(Port());
    monitor->add_flag("--edges", f.edges,
                      "Take the profiles that edges send to the admin port (docs/edges.md)");
    text("--data-dir", f.data_dir, "Positions and history [leadsman-data]; empty = in memory",
         "DIR");
    text("--admin-address", f.admin_address, "Where operators are served [127.0.0.1]", "IP");
    text("--admin-port", f.admin_port, "Port for admin API and /metrics [8502]", "PORT")
        ->check(Port());
    text("--log-level", f.log_level, "debug, info, warn or error [info]", "LEVEL");
    text("--log-format", f.log_format, "Of our own log: text or json [text]", "FORMAT");
    monitor->add_flag("--once", once_, "Read the logs to their end, print what they tell, and end");
    monitor->add_flag("--json", f.json, "With --once, --explain-privacy: JSON for scripts");
    monitor->callback([this] {
      action_ = [this]() -> int {
        if (monitor_.logs.empty() && monitor_.config.empty() && !monitor_.cloudevents_port &&
            !monitor_.envoy_port && !monitor_.edges) {
          env_.err << "leadsman: nothing to monitor: give --log PATH, --cloudevents-port PORT, "
                      "--envoy-port PORT, --edges or --config FILE\n";
          return kUsage;
        }
        if (monitor_.json && !once_ && !monitor_.explain_privacy) {
          env_.err << "leadsman: --json goes with --once or --explain-privacy\n";
          return kUsage;
        }
        if (monitor_.explain_privacy) return hooks_.monitor(monitor_);
        if (!once_) return hooks_.monitor(monitor_);
        bool colours = env_.terminal && env_.getenv("NO_COLOR").empty();
        return ShowLogsOnce(env_, hooks_.monitor_once(monitor_), Paint(colours), monitor_.json);
      };
    });
  }

  void AddGateway() {
    if (!hooks_.gateway) return;
    CLI::App* gateway = app_.add_subcommand(
        "gateway", "Proxy requests to services of models, split among their versions");
    gateway->footer(kGatewayFooter);
    GatewayFlags& f = gateway_;
    auto text = [&](const char* name, auto& value, const char* help, const char* type) {
      return gateway->add_option(name, value, help)->type_name(type);
    };
    text("--config,-c", f.config, "Configuration file (YAML) with the section gateway", "FILE");
    gateway->add_flag("--check-config", f.check_config, "Check the configuration and end");
    gateway->add_flag("--explain-privacy", f.explain_privacy,
                      "Say what would be kept of requests, where, for how long, and what leaves");
    gateway->add_flag("--json", f.json, "With --explain-privacy: JSON for scripts");
    text("--data-dir", f.data_dir, "Journal and history [leadsman-data]; empty = in memory", "DIR");
    text("--admin-address", f.admin_address, "Where operators are served [127.0.0.1]", "IP");
    text("--admin-port", f.admin_port, "Port for admin API and /metrics [8502]", "PORT")
        ->check(Port());
    text("--log-level", f.log_level, "debug, info, warn or error [info]", "LEVEL");
    text("--log-format", f.log_format, "text or json [text]", "FORMAT");
    gateway->add_flag("--hot-restart", f.hot_restart,
                      "Take the place of the process that runs, without losing a request");
    gateway->callback([this] {
      action_ = [this]() -> int {
        if (gateway_.config.empty()) {
          env_.err << "leadsman: nothing to proxy: give --config FILE\n";
          return kUsage;
        }
        return hooks_.gateway(gateway_);
      };
    });
  }

  void AddServe() {
    CLI::App* serve =
        app_.add_subcommand("serve", "Serve models, watch them, roll new versions out");
    serve->footer(kServeFooter);
    ServeFlags& f = serve_;
    serve->add_option("--config,-c", f.config, "Configuration file (YAML)")->type_name("FILE");
    serve->add_flag("--check-config", f.check_config, "Check the configuration and end");
    serve->add_flag("--explain-privacy", f.explain_privacy,
                    "Say what would be kept of requests, where, for how long, and what leaves");
    serve->add_flag("--json", f.json, "With --explain-privacy: JSON for scripts");
    serve->add_option("--model", f.models, "A model: NAME=PATH; PATH holds one folder a version")
        ->type_name("NAME=PATH")
        ->allow_extra_args(false);
    serve
        ->add_option("--model-repository", f.model_repository,
                     "A folder of models: each sub-folder is one")
        ->type_name("DIR");
    serve->add_option("--address", f.address, "Where clients are served [0.0.0.0]")
        ->type_name("IP");
    serve->add_option("--port", f.port, "Port for clients [8501]; 0 = any free one")
        ->check(Port())
        ->type_name("PORT");
    serve->add_option("--grpc-port", f.grpc_port, "Port for gRPC clients [8500]; 0 = any free one")
        ->check(Port())
        ->type_name("PORT");
    serve->add_option("--admin-address", f.admin_address, "Where operators are served [127.0.0.1]")
        ->type_name("IP");
    serve->add_option("--admin-port", f.admin_port, "Port for admin API and /metrics [8502]")
        ->check(Port())
        ->type_name("PORT");
    serve->add_option("--tls-cert", f.tls_cert, "Certificate and chain of the serving port, PEM")
        ->type_name("FILE");
    serve->add_option("--tls-key", f.tls_key, "Its key, PEM")->type_name("FILE");
    serve
        ->add_option("--tls-client-ca", f.tls_client_ca,
                     "Who signs clients' certificates, PEM; they are required then")
        ->type_name("FILE");
    serve
        ->add_option("--data-dir", f.data_dir,
                     "Journal and history [leadsman-data]; empty = in memory")
        ->type_name("DIR");
    serve->add_option("--plugin-dir", f.plugin_dirs, "Folder of backend plug-ins (repeatable)")
        ->type_name("DIR")
        ->allow_extra_args(false);
    serve
        ->add_option("--runtime-dir", f.runtime_dirs,
                     "Folder of model runtimes' libraries (repeatable)")
        ->type_name("DIR")
        ->allow_extra_args(false);
    serve->add_option("--log-level", f.log_level, "debug, info, warn or error [info]")
        ->type_name("LEVEL");
    serve->add_option("--log-format", f.log_format, "text or json [text]")->type_name("FORMAT");
    serve
        ->add_option("--reload-config", f.reload_config,
                     "auto: read the configuration again when its file has changed; signal: at "
                     "SIGHUP [signal]")
        ->type_name("WHEN");
    serve->callback([this] {
      action_ = [this]() -> int {
        if (serve_.config.empty() && serve_.models.empty() && !serve_.model_repository) {
          env_.err << "leadsman: nothing to serve: give --config FILE, --model NAME=PATH or "
                      "--model-repository DIR\n";
          return kUsage;
        }
        return hooks_.serve(serve_);
      };
    });
    if (hooks_.tensorflow_model_server) {
      // Caught before anything is parsed; here for the list of commands.
      app_.add_subcommand("tensorflow_model_server",
                          "Serve with the command line of TensorFlow Serving");
    }
    CLI::App* version = app_.add_subcommand("version", "Print the version");
    version->callback([this] {
      action_ = [this] {
        env_.out << "leadsman " << hooks_.version << '\n';
        return static_cast<int>(kOk);
      };
    });
  }

  void AddShow() {
    Client(app_.add_subcommand("status", "The running server at a glance"),
           [](ClientContext& c) { return ShowStatus(c); });
    CLI::App* models = app_.add_subcommand("models", "Models and their versions");
    models->add_option("NAME", name_, "Only this model");
    models->footer(kModelsFooter);
    Client(models, [this](ClientContext& c) { return ShowModels(c, name_); });
    if (hooks_.inspect) {
      CLI::App* inspect =
          models->add_subcommand("inspect", "What would be served of a folder, without a server");
      inspect->add_option("DIR", file_, "A model's folder, or one version's")->required();
      inspect->callback([this] {
        action_ = [this]() -> int {
          Result<std::string> text = hooks_.inspect(file_);
          (text.ok() ? env_.out : env_.err)
              << (text.ok() ? *text : StrCat("leadsman: ", text.status().message(), "\n"));
          return text.ok() ? kOk : kFailed;
        };
      });
    }
    CLI::App* label = models->add_subcommand("label", "Point a label at a ready version");
    label->add_option("MODEL", label_model_, "The model")->required();
    label->add_option("LABEL", label_name_, "The label, as stable")->required();
    label->add_option("VERSION", number_, "The version")->required()->check(VersionNumber());
    Client(label, [this](ClientContext& c) {
      return SetModelLabel(c, label_model_, label_name_, number_);
    });
  }

  void AddDrift() {
    CLI::App* drift = app_.add_subcommand(
        "drift", "How far a model's inputs, answers and labels are from their reference");
    drift->add_option("MODEL", drift_model_, "The model");
    drift->add_option("--version", drift_version_, "Only this version")
        ->check(CLI::NonNegativeNumber);
    drift->footer(kDriftFooter);
    Client(drift, [this](ClientContext& c) -> int {
      if (!drift_model_.empty()) return ShowDrift(c, drift_model_, drift_version_);
      env_.err << "leadsman: MODEL is required: leadsman drift MODEL\n";
      return kUsage;
    });
    CLI::App* reset = drift->add_subcommand(
        "reset", "Take a model's references anew; those of now stay until there are enough");
    reset->add_option("MODEL", drift_model_, "The model")->required();
    reset->add_option("--version", drift_version_, "Only this version")
        ->check(CLI::NonNegativeNumber);
    Client(reset, [this](ClientContext& c) { return ResetDrift(c, drift_model_, drift_version_); });
  }

  void AddProveQuiet() {
    CLI::App* quiet = app_.add_subcommand(
        "prove-quiet", "Replay the past through all detectors, before they are armed");
    quiet->footer(kQuietFooter);
    QuietFlags& f = quiet_;
    auto text = [&](const char* name, auto& value, const char* help, const char* type) {
      return quiet->add_option(name, value, help)->type_name(type);
    };
    text("TABLE", f.table, "A .csv or .npz of a model's inputs, in order of time", "FILE");
    text("--log", f.logs.logs, "A log file, or a pattern with *, ?, [a-z] and ** (repeatable)",
         "PATH")
        ->allow_extra_args(false);
    text("--config,-c", f.logs.config,
         "Configuration file: its monitor.logs, objectives, tolerances, references and budget",
         "FILE");
    text("--model", f.logs.model, "Whose the table or log is [default]", "NAME");
    text("--format", f.logs.format, "What the lines are [recognised from the first ones]",
         "FORMAT");
    text("--pattern", f.logs.pattern, "A layout of lines of your own, or nginx's log_format",
         "PATTERN");
    text("--field", f.logs.fields, "JSON, logfmt: where a field stands in a line (repeatable)",
         "NAME=WHERE")
        ->allow_extra_args(false);
    text("--prediction-path", f.logs.prediction_paths, "A path that is a prediction (repeatable)",
         "PATH")
        ->allow_extra_args(false);
    text("--time-zone", f.logs.time_zone, "Of times that name none [UTC]", "+HH:MM");
    text("--requests-per-day", f.requests_per_day,
         "As if the past had come evenly at this rate [by its times]", "N")
        ->check(CLI::PositiveNumber);
    text("--time-column", f.time_column, "CSV: the column of the time", "NAME");
    text("--answer-column", f.answer_column, "CSV: the column of the model's answer", "NAME");
    text("--label-column", f.label_column, "CSV: the column of the true answer", "NAME");
    text("--reference-requests", f.reference_requests, "Requests of a reference [5000]", "N")
        ->check(CLI::Range(size_t{500}, size_t{1'000'000}));
    text("--tolerance", f.tolerance, "Of numbers, in standard deviations [0.03]", "X")
        ->check(CLI::Range(0.0, 10.0));
    text("--share-tolerance", f.share_tolerance, "Of shares [0.03]", "X")
        ->check(CLI::Range(0.0, 1.0));
    text("--false-alarms", f.false_alarms, "Accepted in a period [1]", "N")
        ->check(CLI::PositiveNumber);
    text("--period", f.period, "That period [90d]", "DURATION");
    quiet->add_flag("--json", client_.json, "JSON for scripts");
    quiet->callback([this] {
      action_ = [this]() -> int {
        const bool logs = !quiet_.logs.logs.empty() || !quiet_.logs.config.empty();
        if (quiet_.table.empty() && !logs) {
          env_.err << "leadsman: nothing to replay: give a TABLE, --log PATH or --config FILE\n";
          return kUsage;
        }
        if (!quiet_.table.empty() && !quiet_.logs.logs.empty()) {
          env_.err << "leadsman: give a TABLE or --log, not both\n";
          return kUsage;
        }
        // A table that is not there is told of by who reads it.
        const bool there = !quiet_.table.empty() && StampOf(quiet_.table).ok();
        if (there && quiet_.time_column.empty() && !quiet_.requests_per_day) {
          env_.err << "leadsman: when the rows came is not known: give --requests-per-day or "
                      "--time-column\n";
          return kUsage;
        }
        bool colours = env_.terminal && env_.getenv("NO_COLOR").empty();
        return ShowQuiet(env_, hooks_.prove_quiet(quiet_), Paint(colours), client_.json);
      };
    });
  }

  /// A command that works on files alone.
  void Offline(CLI::App* sub, const char* footer, std::function<int()> run) {
    sub->footer(footer);
    sub->add_flag("--json", client_.json, "JSON for scripts");
    sub->callback([this, run = std::move(run)] { action_ = run; });
  }
  Paint Colours() const { return Paint(env_.terminal && env_.getenv("NO_COLOR").empty()); }

  void AddSchema() {
    CLI::App* schema =
        app_.add_subcommand("schema", "What the rows of a model's input have to look like");
    schema->require_subcommand(1);
    schema->footer(kSchemaFooter);
    CLI::App* infer = schema->add_subcommand("infer", "The schema of a table of data");
    infer->add_option("FILE", file_, "The table: .csv, .jsonl, .ndjson or .npz")->required();
    infer->add_option("-o,--output", output_, "Where it is written [standard output]")
        ->type_name("FILE");
    infer
        ->add_option("--margin", margin_,
                     "How much wider ranges are than the values, on both sides [10%]")
        ->type_name("SHARE");
    Offline(infer, kSchemaInferFooter, [this] {
      return InferSchema(env_, hooks_, {file_, output_, margin_, client_.json});
    });
    CLI::App* check = schema->add_subcommand("check", "Which rows of a table do not keep a schema");
    check->add_option("FILE", file_, "The table: .csv, .jsonl, .ndjson or .npz")->required();
    check->add_option("--schema", schema_, "The schema: .yaml, .yml or .json")
        ->required()
        ->type_name("FILE");
    Offline(check, kSchemaCheckFooter, [this] {
      return CheckSchema(env_, hooks_.schema_check(file_, schema_), Colours(), client_.json);
    });
    CLI::App* diff = schema->add_subcommand("diff", "What differs in two schemas");
    diff->add_option("BEFORE", schema_, "A schema: .yaml, .yml or .json")->required();
    diff->add_option("AFTER", file_, "Another one")->required();
    Offline(diff, kSchemaDiffFooter, [this] {
      return DiffSchemas(env_, hooks_.schema_diff(schema_, file_), Colours(), client_.json);
    });
    CLI::App* show = schema->add_subcommand(
        "show", "What a running server holds a model's requests against, and what broke it");
    show->add_option("MODEL", name_, "The model")->required();
    show->add_option("--version", drift_version_, "Only this version")
        ->check(CLI::NonNegativeNumber);
    show->footer(kSchemaShowFooter);
    Client(show, [this](ClientContext& c) { return ShowSchema(c, name_, drift_version_); });
    CLI::App* relearn = schema->add_subcommand(
        "relearn",
        "Drop a model's schema: from its file again, or learnt from the requests from now on");
    relearn->add_option("MODEL", name_, "The model")->required();
    relearn->add_option("--version", drift_version_, "Only this version")
        ->check(CLI::NonNegativeNumber);
    relearn->footer(kSchemaRelearnFooter);
    Client(relearn, [this](ClientContext& c) { return RelearnSchema(c, name_, drift_version_); });
  }

  void AddQuality() {
    CLI::App* quality = app_.add_subcommand(
        "quality", "What labels tell of a model: classes, scores, errors, segments");
    quality->add_option("MODEL", quality_model_, "The model")->required();
    quality->add_option("--version", quality_version_, "Only this version")
        ->check(CLI::NonNegativeNumber);
    quality->add_option("--by", quality_by_, "segment: requests and accuracy of each segment")
        ->check(CLI::IsMember({"segment"}));
    quality->footer(kQualityFooter);
    Client(quality, [this](ClientContext& c) {
      return ShowQuality(c, quality_model_, quality_version_, quality_by_ == "segment");
    });
  }

  void AddRollout() {
    CLI::App* rollout = app_.add_subcommand(
        "rollout", "Rollouts and their evidence; ID is a number or a model's name (its newest)");
    rollout->require_subcommand(1);
    rollout->footer(kRolloutFooter);
    CLI::App* list = rollout->add_subcommand("list", "All rollouts, the newest first");
    list->add_option("--model", name_, "Only of this model")->type_name("NAME");
    Client(list, [this](ClientContext& c) { return ListRollouts(c, name_); });
    auto with_id = [&](const char* name, const char* doc, std::function<int(ClientContext&)> run) {
      CLI::App* sub = rollout->add_subcommand(name, doc);
      sub->add_option("ID", id_, "Number, or a model's name")->required();
      Client(sub, std::move(run));
      return sub;
    };
    with_id("show", "One rollout with its evidence",
            [this](ClientContext& c) { return ShowRollout(c, id_); });
    with_id("history", "Every tick of a rollout",
            [this](ClientContext& c) { return ShowRolloutHistory(c, id_); });
    auto command = [&](const char* verb, const char* doc) {
      return with_id(verb, doc, [this, verb](ClientContext& c) {
        return CommandRollout(c, id_, verb, full_);
      });
    };
    command("pause", "Hold it where it is; harm still takes the candidate back");
    command("resume", "Let it go on after a pause");
    command("promote",
            "Out of the present step, evidence or not; the approval that a step waits for")
        ->add_flag("--full", full_, "To the end: all traffic to the candidate");
    command("abort", "End it with the stable version");
    with_id("retry", "Begin one anew that was rolled back or aborted",
            [this](ClientContext& c) { return RetryRollout(c, id_); });
    with_id("undo", "Back to the version that was stable before one that was promoted",
            [this](ClientContext& c) { return UndoRollout(c, id_); });
    CLI::App* watch = with_id("watch", "Show the evidence grow until the verdict",
                              [this](ClientContext& c) { return WatchRollout(c, id_, watch_); });
    watch->add_flag("--until-held", watch_.until_held, "End when the rollout is held, too");
    watch
        ->add_option(
            "--version", watch_.version,
            "ID is a model: the rollout to this version; waits up to ten minutes for it to "
            "begin")
        ->type_name("N")
        ->check(VersionNumber());
    CLI::App* start =
        rollout->add_subcommand("start",
                                "Roll out a version that was rejected or passed over, or by a "
                                "plan of its own");
    start->add_option("MODEL", name_, "The model")->required();
    start->add_option("VERSION", number_, "The version")->required()->check(VersionNumber());
    start
        ->add_option(
            "--plan,-p", plan_file_,
            "The plan, as under `rollout:` of a model [that of the model]; a gateway's service "
            "needs no other")
        ->type_name("FILE");
    Client(start, [this](ClientContext& c) {
      return BeginRollout(c, hooks_, name_, number_, plan_file_);
    });
    AddRolloutRecords(rollout);
  }

  /// What looks back at rollouts, and forward to them.
  void AddRolloutRecords(CLI::App* rollout) {
    CLI::App* record =
        rollout->add_subcommand("record", "Everything that a verdict was made of, as JSON");
    record->add_option("ID", id_, "Number, or a model's name")->required();
    record->footer(kRecordFooter);
    Client(record, [this](ClientContext& c) { return PrintRecord(c, id_); });
    CLI::App* replay =
        rollout->add_subcommand("replay", "Compute a verdict again from its record, and compare");
    replay->add_option("RECORD", replay_.what, "A record's file, - or an ID of the server")
        ->required();
    replay->add_option("--alpha", replay_.alpha, "What if the plan's alpha had been this")
        ->type_name("X")
        ->check(CLI::Range(1e-9, 0.5));
    replay->add_option("--beta", replay_.beta, "What if the plan's beta had been this")
        ->type_name("X")
        ->check(CLI::Range(1e-9, 0.5));
    replay->footer(kReplayFooter);
    Client(replay, [this](ClientContext& c) { return ReplayRollout(c, hooks_, replay_); });
    CLI::App* plan = rollout->add_subcommand(
        "plan", "Before a rollout: how long a verdict takes, and what harm is found");
    PlanOptions& f = plan_;
    auto option = [&](const char* name, auto& value, const char* help, const char* type) {
      return plan->add_option(name, value, help)->type_name(type);
    };
    plan->add_option("MODEL", f.model, "Of the server: its plan and traffic");
    CLI::Option* config =
        option("--config,-c", f.config, "The plan that MODEL has in this file", "FILE");
    option("--plan,-p", f.plan, "This file is the plan, as under `rollout:` of a model", "FILE")
        ->excludes(config);
    option("--record", f.record, "Traffic, and where nothing else says it the plan, of this record",
           "FILE");
    option("--requests-per-second", f.requests_per_second, "To all versions [as seen]", "N")
        ->check(CLI::PositiveNumber);
    option("--error-rate", f.error_rate, "Of the stable version [as seen]", "SHARE");
    option("--label-share", f.label_share, "Of the requests, with a label [as seen]", "SHARE");
    option("--wrong-rate", f.wrong_rate, "Of the labelled answers [as seen]", "SHARE");
    option("--mean-loss", f.mean_loss,
           "Of the labelled answers, as the loss gate counts them [as seen]", "X")
        ->check(CLI::NonNegativeNumber);
    option("--loss-spread", f.loss_spread, "Standard deviation of one of these [as seen]", "X")
        ->check(CLI::NonNegativeNumber);
    plan->add_flag("--simulate{100}", f.runs, "Play the plan so many times [100]");
    option("--worse", f.worse, "Times the bad events of candidates that are played [2]", "X")
        ->check(CLI::Range(1.0, 1000.0));
    option("--seed", f.seed, "Of what is played [1]", "N")->check(CLI::NonNegativeNumber);
    plan->footer(kPlanFooter);
    Client(plan, [this](ClientContext& c) -> int {
      if (plan_.runs < 0 || plan_.runs > 10'000) {
        env_.err << "leadsman: --simulate: must be 1 to 10000 runs\n";
        return kUsage;
      }
      return PlanRollout(c, hooks_, plan_);
    });
  }

  void AddLabelsCommand() {
    CLI::App* labels = app_.add_subcommand("labels", "True answers for past predictions");
    labels->require_subcommand(1);
    CLI::App* add = labels->add_subcommand("add", "Add one label, or many from a file");
    add->footer(
        "A file has one label a line: {\"request_id\": \"r1\", \"label\": 7, \"row\": 0}, or as "
        "CSV: request_id,label[,row]\n"
        "Examples:\n"
        "  leadsman labels add r-17 7\n"
        "  leadsman labels add --file labels.jsonl\n"
        "  psql -c \"copy (…) to stdout csv header\" | leadsman labels add --file - --format csv");
    CLI::Option* id =
        add->add_option("REQUEST_ID", labels_.request_id, "The x-request-id of the prediction");
    CLI::Option* label = add->add_option("LABEL", labels_.label, "The true answer");
    add->add_option("--row", labels_.row, "Which row of the request [0]")->type_name("N");
    CLI::Option* file =
        add->add_option("--file", labels_.file, "JSON lines or CSV; - is standard input")
            ->type_name("FILE");
    add->add_option("--format", labels_.format, "jsonl or csv [by the file's name]")
        ->check(CLI::IsMember({"jsonl", "csv"}))
        ->type_name("FORMAT");
    file->excludes(id);
    file->excludes(label);
    Client(add, [this](ClientContext& c) -> int {
      if (labels_.file.empty() && (labels_.request_id.empty() || labels_.label.empty())) {
        env_.err << "leadsman: give REQUEST_ID and LABEL, or --file FILE\n";
        return kUsage;
      }
      return AddLabels(c, labels_);
    });
  }

  void AddAlarms() {
    CLI::App* alarms = app_.add_subcommand("alarms", "What is wrong, and who need not be told");
    alarms->footer(kAlarmsFooter);
    auto list_options = [this](CLI::App* sub) {
      sub->add_option("--model", name_, "Only of this model")->type_name("NAME");
      sub->add_flag("--check", check_, "Exit with 1 when an alarm fires that is not silenced");
      Client(sub, [this](ClientContext& c) { return ListAlarms(c, name_, check_); });
    };
    list_options(alarms);
    list_options(alarms->add_subcommand("list", "Alarms: pending, firing, resolved within a day"));
    CLI::App* show = alarms->add_subcommand("show", "One alarm with its evidence");
    show->add_option("ID", id_, "Its number")->required();
    Client(show, [this](ClientContext& c) { return ShowAlarm(c, id_); });
    CLI::App* silence = alarms->add_subcommand("silence", "Tell nobody of some alarms for a while");
    silence->footer(
        "Example:\n"
        "  leadsman alarms silence --model digits --kind error_burn --for 2h --comment \"known, "
        "see #17\"");
    silence->add_option("--kind", silence_.kind, "As error_burn [any]")->type_name("KIND");
    silence->add_option("--model", silence_.model, "Model [any]")->type_name("NAME");
    silence->add_option("--version", silence_.version, "Version [any]")
        ->check(VersionNumber())
        ->type_name("N");
    silence->add_option("--of", silence_.of, "The feature, log and the like [any]")
        ->type_name("NAME");
    silence->add_option("--for", silence_.time, "How long, as 2h")
        ->required()
        ->type_name("DURATION");
    silence->add_option("--author", silence_.author, "Whom to ask [$USER]")->type_name("NAME");
    silence->add_option("--comment", silence_.comment, "Why")->required()->type_name("TEXT");
    Client(silence, [this](ClientContext& c) {
      if (silence_.author.empty()) silence_.author = WhoAsks(env_);
      return AddSilence(c, silence_);
    });
    Client(alarms->add_subcommand("silences", "The silences"),
           [](ClientContext& c) { return ListSilences(c); });
    CLI::App* unsilence = alarms->add_subcommand("unsilence", "End a silence");
    unsilence->add_option("ID", id_, "Its number")->required();
    Client(unsilence, [this](ClientContext& c) { return RemoveSilence(c, id_); });
  }

  void AddConfig() {
    CLI::App* config = app_.add_subcommand("config", "Configuration files");
    config->require_subcommand(1);
    CLI::App* check = config->add_subcommand("check", "Check a file without a server");
    check->add_option("FILE", file_, "The file")->required();
    check->callback([this] {
      action_ = [this]() -> int {
        Status status = hooks_.check_config(file_);
        if (!status.ok()) {
          env_.err << status.message() << '\n';
          return kUsage;
        }
        env_.out << "configuration ok\n";
        return kOk;
      };
    });
    Client(config->add_subcommand("show", "The effective configuration of the running server"),
           [](ClientContext& c) { return ShowConfig(c); });
    CLI::App* reference = app_.add_subcommand("reference", "Reference pages, generated");
    reference->require_subcommand(1);
    CLI::App* page = reference->add_subcommand("config", "The configuration file, as Markdown");
    page->add_flag("--json-schema", json_schema_, "As JSON Schema");
    page->callback([this] {
      action_ = [this] {
        env_.out << hooks_.config_reference(json_schema_);
        return static_cast<int>(kOk);
      };
    });
    CLI::App* data = reference->add_subcommand("schema", "The file of a data schema, as Markdown");
    data->add_flag("--json-schema", json_schema_, "As JSON Schema");
    data->callback([this] {
      action_ = [this] {
        env_.out << hooks_.schema_reference(json_schema_);
        return static_cast<int>(kOk);
      };
    });
    CLI::App* metrics = reference->add_subcommand("metrics", "The metrics, as Markdown");
    metrics->callback([this] {
      action_ = [this] {
        env_.out << hooks_.metrics_reference();
        return static_cast<int>(kOk);
      };
    });
  }

  /// A command that talks to a server.
  void Client(CLI::App* sub, std::function<int(ClientContext&)> run) {
    sub->add_option("--server", client_.server,
                    "Admin address of the server [$LEADSMAN_SERVER or http://127.0.0.1:8502]")
        ->type_name("URL");
    sub->add_option("--token-file", client_.token_file,
                    "File with the bearer token [or $LEADSMAN_TOKEN, the token itself]")
        ->type_name("FILE");
    sub->add_option("--ca-file", client_.tls.ca_file,
                    "Who signed the server's certificate, PEM [the system's authorities]")
        ->type_name("FILE");
    sub->add_option("--cert-file", client_.tls.cert_file, "Certificate to show to the server, PEM")
        ->type_name("FILE");
    sub->add_option("--key-file", client_.tls.key_file, "Its key, PEM")->type_name("FILE");
    sub->add_option("--timeout", client_.timeout, "For one call [10s]")->type_name("DURATION");
    sub->add_flag("--json", client_.json, "JSON for scripts");
    sub->callback([this, sub, run] {
      // The callback of a command runs after its sub-command's: the inner one has the word.
      if (!sub->get_subcommands().empty()) return;
      action_ = [this, run]() -> int {
        auto timeout = schema::ParseTime(client_.timeout);
        if (!timeout || timeout->count() <= 0) {
          env_.err << "leadsman: --timeout: must be a duration like 10s or 500ms\n";
          return kUsage;
        }
        std::string server = client_.server;
        if (server.empty()) server = env_.getenv("LEADSMAN_SERVER");
        if (server.empty()) server = kDefaultServer;
        std::shared_ptr<const net::TlsClient> tls;
        if (!client_.tls.ca_file.empty() || !client_.tls.cert_file.empty() ||
            !client_.tls.key_file.empty()) {
          auto made = net::TlsClient::Create(client_.tls);
          if (!made.ok()) return UsageError(made.status());
          tls = std::move(made).value();
        }
        auto token = Token();
        if (!token.ok()) return UsageError(token.status());
        ApiClient api(env_.make_client(std::move(tls)),
                      {server, std::chrono::duration_cast<std::chrono::milliseconds>(*timeout),
                       std::move(token).value()});
        bool colours = env_.terminal && env_.getenv("NO_COLOR").empty();
        ClientContext context{env_, api, Paint(colours), client_.json};
        return run(context);
      };
    });
  }

  int UsageError(const Status& status) {
    env_.err << "leadsman: " << status.message() << '\n';
    return kUsage;
  }

  /// What the server is told to know us by; empty: nothing.
  Result<std::string> Token() {
    std::string token = env_.getenv("LEADSMAN_TOKEN");
    if (!client_.token_file.empty()) {
      auto content = ReadFile(client_.token_file, 64 << 10);
      if (!content.ok()) return Annotate(content.status(), "--token-file");
      token = *content;
    }
    token = std::string(Trim(token));
    if (token.find_first_of(" \t\r\n") != std::string::npos) {
      return InvalidArgumentError(
          "a token is one word: --token-file and LEADSMAN_TOKEN hold one, and nothing else");
    }
    return token;
  }

  const AppHooks& hooks_;
  Environment& env_;
  CLI::App app_;
  std::function<int()> action_;
  ServeFlags serve_;
  MonitorFlags monitor_;
  GatewayFlags gateway_;
  std::string plan_file_;
  QuietFlags quiet_;
  bool once_ = false;
  ClientFlags client_;
  WatchOptions watch_;
  ReplayOptions replay_;
  PlanOptions plan_;
  LabelsOptions labels_;
  SilenceOptions silence_;
  bool check_ = false;
  bool full_ = false;
  std::string name_, id_, file_, label_model_, label_name_, drift_model_, quality_model_,
      quality_by_;
  std::string schema_, output_, margin_ = "10%";
  int64_t number_ = 0;
  int64_t drift_version_ = -1;
  int64_t quality_version_ = -1;
  bool json_schema_ = false;
};

}  // namespace

int Main(int argc, const char* const* argv, const AppHooks& hooks, Environment& environment) {
  CommandLine command_line(hooks, environment);
  return command_line.Run(argc, argv);
}

}  // namespace leadsman::cli
