#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include <nlohmann/json.hpp>

#include "base/fs.h"
#include "base/strings.h"
#include "base/testing/temp_dir.h"
#include "cli/main.h"
#include "cli/table.h"
#include "console/testing/admin_fixture.h"
#include "rollout/config_schema.h"
#include "rollout/forecast.h"
#include "rollout/testing/recorded_rollout.h"

namespace leadsman::cli {
namespace {

class CliTest : public testing::Test {
 protected:
  int Run(std::vector<std::string> args, const std::string& input = "") {
    out_.str("");
    err_.str("");
    in_.clear();
    in_.str(input);
    std::vector<const char*> argv{"leadsman"};
    for (const std::string& arg : args) argv.push_back(arg.c_str());
    AppHooks hooks;
    hooks.version = "1.2.3";
    hooks.serve = [&](const ServeFlags& flags) {
      served_ = flags;
      return 0;
    };
    hooks.monitor = [&](const MonitorFlags& flags) {
      monitored_ = flags;
      return 0;
    };
    hooks.monitor_once = [&](const MonitorFlags& flags) {
      monitored_ = flags;
      return report_;
    };
    hooks.prove_quiet = [&](const QuietFlags& flags) {
      replayed_ = flags;
      return report_;
    };
    hooks.check_config = [](const std::string& file) {
      return file == "good.yaml" ? OkStatus()
                                 : InvalidArgumentError("bad.yaml:1:1: x: unknown key");
    };
    hooks.config_reference = [](bool schema) {
      return std::string(schema ? "{}\n" : "# Configuration\n");
    };
    hooks.metrics_reference = [] { return std::string("# Metrics\n"); };
    hooks.schema_infer = [&](const std::string& file, double margin,
                             bool json) -> Result<std::string> {
      if (file == "none.csv") return NotFoundError("open none.csv: there is no such file");
      inferred_ = {file, margin};
      return std::string(json ? R"({"features":[]})" : "features:\n");
    };
    hooks.schema_check = [&](const std::string&, const std::string&) { return report_; };
    hooks.schema_diff = [&](const std::string&, const std::string&) { return report_; };
    hooks.schema_reference = [](bool schema) {
      return std::string(schema ? "{}\n" : "# Data schema\n");
    };
    hooks.replay_rollout = [](std::string_view record, std::optional<double> alpha,
                              std::optional<double> beta) {
      return ReplayReport(record, {alpha, beta}, "1.2.3");
    };
    hooks.forecast_rollout = ForecastReport;
    hooks.plan_of_config = [](const std::string& file,
                              const std::string& model) -> Result<std::string> {
      if (model == "digits") return std::string(R"({"steps": [{"weight": "50%"}]})");
      return NotFoundError(StrCat(file, ": model ", model, " has no rollout plan"));
    };
    hooks.plan_of_file = [](const std::string& file) -> Result<std::string> {
      if (file == "plan.yaml") return std::string(R"({"alpha": 0.02})");
      return NotFoundError(StrCat("open ", file, ": there is no such file"));
    };
    Environment env{.out = out_, .err = err_, .in = in_};
    env.terminal = terminal_;
    env.columns = columns_;
    env.getenv = [&](const std::string& name) {
      return name == "LEADSMAN_SERVER" ? server_ : std::string();
    };
    env.make_client = [](std::shared_ptr<const net::TlsClient> tls) {
      return net::MakeHttpClient(std::move(tls));
    };
    env.wait = [&](std::chrono::milliseconds) { return on_wait_ && on_wait_(); };
    return Main(static_cast<int>(argv.size()), argv.data(), hooks, env);
  }
  std::string out() const { return out_.str(); }
  std::string err() const { return err_.str(); }

  std::ostringstream out_, err_;
  std::istringstream in_;
  std::string server_ = "http://127.0.0.1:1";  // nobody listens there
  bool terminal_ = false;
  int columns_ = 100;
  std::function<bool()> on_wait_;
  std::optional<ServeFlags> served_;
  std::optional<MonitorFlags> monitored_;
  std::optional<QuietFlags> replayed_;
  Result<std::string> report_ = NotFoundError("no log is there");
  std::pair<std::string, double> inferred_;
};

class CliServerTest : public CliTest {
 protected:
  CliServerTest() {
    fixture_.LoadModels();
    server_ = fixture_.url();
  }
  AdminFixture fixture_;
};

TEST_F(CliTest, MonitorTakesItsFlags) {
  EXPECT_EQ(Run({"monitor"}), kUsage);
  EXPECT_EQ(Run({"monitor", "--log", "a", "--json"}), kUsage);
  EXPECT_FALSE(monitored_);
  EXPECT_EQ(Run({"monitor", "--log", "a.log", "--log", "b.log", "--model", "iris", "--field",
                 "predicted=label", "--prediction-path", "/score", "--from-beginning",
                 "--admin-port", "0"}),
            kOk);
  ASSERT_TRUE(monitored_);
  EXPECT_EQ(monitored_->logs, (std::vector<std::string>{"a.log", "b.log"}));
  EXPECT_EQ(monitored_->model, "iris");
  EXPECT_EQ(monitored_->fields, std::vector<std::string>{"predicted=label"});
  EXPECT_EQ(monitored_->prediction_paths, std::vector<std::string>{"/score"});
  EXPECT_TRUE(monitored_->from_beginning);
  EXPECT_EQ(monitored_->admin_port, 0);
  EXPECT_EQ(Run({"monitor", "--help"}), kOk);
  EXPECT_NE(out().find("leadsman monitor --log access.log --once"), std::string::npos);
}

TEST_F(CliTest, ProveQuietWantsToKnowWhenTheRowsCame) {
  EXPECT_EQ(Run({"prove-quiet"}), kUsage);
  EXPECT_EQ(Run({"prove-quiet", "none.csv"}), kNotFound) << "which is not a question of when";
  replayed_.reset();
  TempDir dir;
  std::ofstream(dir.file("a.csv")) << "x\n1\n";
  EXPECT_EQ(Run({"prove-quiet", dir.file("a.csv")}), kUsage);
  EXPECT_NE(err().find("give --requests-per-day or --time-column"), std::string::npos) << err();
  EXPECT_EQ(Run({"prove-quiet", "a.csv", "--log", "b", "--requests-per-day", "9"}), kUsage);
  EXPECT_FALSE(replayed_);
  EXPECT_EQ(Run({"prove-quiet", "a.csv", "--requests-per-day", "20000", "--tolerance", "0.1"}),
            kNotFound);
  ASSERT_TRUE(replayed_);
  EXPECT_EQ(replayed_->table, "a.csv");
  EXPECT_EQ(replayed_->requests_per_day, 20000);
  EXPECT_EQ(replayed_->tolerance, 0.1);
  EXPECT_EQ(Run({"prove-quiet", "--log", "a", "--log", "b"}), kNotFound);
  EXPECT_EQ(replayed_->logs.logs, (std::vector<std::string>{"a", "b"}));
}

TEST_F(CliTest, ProveQuietShowsEachDetectorAndFailsWhereOneFired) {
  const std::string stream =
      R"("of": "inputs", "name": "age", "unit": "σ", "guaranteed": true, "alarms": )";
  auto report = [&](int alarms, const std::string& smallest) {
    return StrCat(R"({"alarms": )", alarms, R"(, "false_alarms_allowed": 0.1, "days_compared": 9,
      "budget": {"false_alarms": 1, "days": 90}, "requests_left_out": 0,
      "models": [{"model": "credit", "version": 3, "requests": 9000, "requests_per_day": 1000,
      "reference": {"rows": 5000, "of": 5000}, "blocks": 80, "days_compared": 9, "detectors": [{)",
                  stream, alarms, R"(, "smallest_change_found_in_a_day": )", smallest, "}]}]}");
  };
  report_ = report(0, "0.2");
  EXPECT_EQ(Run({"prove-quiet", "--log", "a"}), kOk);
  EXPECT_NE(out().find("inputs  age   0       0.2 σ"), std::string::npos) << out();
  EXPECT_NE(out().find("0 alarms, of drift and risk 0 in 9 days; the budget of 1 in 90 days allows "
                       "0.1 false ones of these"),
            std::string::npos)
      << out();
  EXPECT_NE(out().find("9000 requests, 1000 a day"), std::string::npos) << out();
  std::string brief = report(0, "0.2");
  const std::string days = R"("days_compared": 9)";
  brief.replace(brief.find(days), days.size(),
                R"("days_compared": 0.0003, "not_replayed": [{"detector": "error_burn",
                "model": "credit", "version": 0, "of": "", "why": "no status is known"}])");
  report_ = brief;
  EXPECT_EQ(Run({"prove-quiet", "--log", "a"}), kFailed) << "some seconds prove nothing";
  EXPECT_NE(out().find("too short to prove anything"), std::string::npos) << out();
  EXPECT_NE(out().find("not replayed, so that nothing is said of them\n"
                       "  error_burn of credit: no status is known\n"),
            std::string::npos)
      << out();
  report_ = report(1, "null");
  EXPECT_EQ(Run({"prove-quiet", "--log", "a"}), kNotQuiet);
  EXPECT_NE(out().find("none of those tried"), std::string::npos) << out();
  EXPECT_EQ(Run({"prove-quiet", "--log", "a", "--json"}), kNotQuiet);
  EXPECT_EQ(nlohmann::json::parse(out())["alarms"], 1);
}

TEST_F(CliTest, ProveQuietShowsEachWatchAndWhatWouldHaveFired) {
  auto watch = [](const std::string& detector, int alarms, const std::string& more) {
    return StrCat(R"({"detector": ")", detector, R"(", "model": "credit", "version": 0, "of": "",
      "alarms": )",
                  alarms, R"(, "alarms_per_90_days": {"estimate": 10, "low": 0.25, "high": 55.7},
      "guaranteed": false, "not_guaranteed_because": "it slides", )",
                  more, "}");
  };
  auto report = [&](int alarms, double days) {
    const std::string fired = alarms > 0 ? R"({"at": "2026-03-01T10:00:00.000Z", "seconds": 4200,
      "ended": true, "severity": "page", "summary": "credit: 9 of 10 answers failed"})"
                                         : "";
    return StrCat(
        R"({"alarms": )", alarms, R"(, "alarms_of_budget": 0, "false_alarms_allowed": 0,
      "days_compared": 0, "days_replayed": )",
        days == 9 ? "9" : "0.01",
        R"(, "seconds_between_looks": 10, "budget": {"false_alarms": 1, "days": 90},
      "requests_left_out": 0, "models": [], "not_replayed": [], "watches": [)",
        watch("error_burn", alarms,
              StrCat(R"("smallest_change_found_in_a_day": 0.02,
        "unit": "points", "usual": 0.001, "found": 0.021, "fired": [)",
                     fired, "]")),
        ",",
        watch("traffic_stopped", 0, R"("smallest_change_found_in_a_day": 240, "unit": "seconds",
        "longest": 7800, "none_because": null, "fired": [])"),
        ",", watch("accuracy", 0, R"("smallest_change_found_in_a_day": null, "unit": "points",
        "none_because": "too few come", "fired": [])"),
        "]}");
  };
  report_ = report(0, 9);
  EXPECT_EQ(Run({"prove-quiet", "--log", "a"}), kOk);
  EXPECT_EQ(out().find("would have fired"), std::string::npos) << out();
  EXPECT_NE(out().find("error_burn of credit"), std::string::npos) << out();
  EXPECT_NE(out().find("2 points more errors (0.1 % → 2.1 %)"), std::string::npos) << out();
  EXPECT_NE(out().find("a stop, after 4 min (2 h 10 min at the longest)"), std::string::npos)
      << out();
  EXPECT_NE(out().find("none: too few come"), std::string::npos) << out();
  EXPECT_NE(out().find("10 (0.25 to 55.7)"), std::string::npos) << out();
  EXPECT_NE(out().find("error_burn of credit, traffic_stopped of credit and accuracy of credit: it "
                       "slides"),
            std::string::npos)
      << out();
  report_ = report(0, 0.01);
  EXPECT_EQ(Run({"prove-quiet", "--log", "a"}), kFailed) << "some minutes prove nothing";
  report_ = report(1, 9);
  EXPECT_EQ(Run({"prove-quiet", "--log", "a"}), kNotQuiet);
  EXPECT_NE(out().find("  2026-03-01T10:00:00.000Z  error_burn of credit, page, for 70 min: "
                       "credit: 9 of 10 answers failed\n"),
            std::string::npos)
      << out();
}

TEST_F(CliTest, OnceShowsWhatLogsTellAndWhatWasNotRead) {
  EXPECT_EQ(Run({"monitor", "--log", "a", "--once"}), kNotFound);
  EXPECT_EQ(err(), "leadsman: no log is there\n");
  const std::string file =
      R"({"path": "a.log", "recognised": true, "format": "uvicorn", "reads": "uvicorn access log"})";
  const std::string source =
      R"("source": "a.log", "lines": 9, "other_requests": 4, "errors": 1, "other_paths": {"/score": 4})";
  report_ = StrCat(
      R"({"models": [{"model": "iris", "version": 0, "requests": 5, "client_errors": 1, "server_errors": 2, "cancelled": 0, "unknown": 0, "latency": null, "features": [{"name": "age", "count": 5, "missing": 1, "mean": 31.25, "median": 30, "min": 20, "max": 44}, {"name": "text", "count": 0.0, "missing": 5, "mean": 0.0, "median": 0.0, "min": 0.0, "max": 0.0}]}], "sources": [{)",
      source, R"(, "predictions": 5, "files": [)", file, "]}]}");
  EXPECT_EQ(Run({"monitor", "--log", "a", "--once"}), kOk);
  EXPECT_NE(out().find("a.log: uvicorn access log\n  9 lines, 5 predictions, 4 other requests, 1 "
                       "error messages\n"),
            std::string::npos)
      << out();
  EXPECT_NE(out().find("iris   -        5"), std::string::npos) << out();
  EXPECT_NE(out().find("not known"), std::string::npos) << "no latency is no zero";
  EXPECT_NE(out().find("iris   -        age      5       1        31.25  30      20   44"),
            std::string::npos)
      << out();
  EXPECT_NE(out().find("iris   -        text     0       5        -      -       -    -"),
            std::string::npos)
      << "of no value there is no mean: " << out();
  EXPECT_EQ(Run({"monitor", "--log", "a", "--once", "--json"}), kOk);
  EXPECT_EQ(nlohmann::json::parse(out())["models"][0]["requests"], 5);

  report_ = StrCat(R"({"models": [], "sources": [{)", source,
                   R"(, "predictions": 0, "unrecognised_lines": 2, "files": [)", file, "]}]}");
  EXPECT_EQ(Run({"monitor", "--log", "a", "--once"}), kFailed);
  EXPECT_NE(out().find("2 lines not recognised"), std::string::npos) << out();
  EXPECT_NE(out().find("name those that are predictions: --prediction-path /score"),
            std::string::npos)
      << out();
}

TEST_F(CliTest, WithoutACommandItSaysWhichThereAre) {
  EXPECT_EQ(Run({}), kUsage);
  EXPECT_EQ(out(), "");
  for (const char* word : {"Subcommands:", "serve", "monitor", "Begin with:"})
    EXPECT_NE(err().find(word), std::string::npos) << word << err();
}

TEST_F(CliTest, HelpShowsCommandsAndExitCodes) {
  EXPECT_EQ(Run({"--help"}), kOk);
  for (const char* word : {"serve", "status", "models", "rollout", "labels", "config", "Exit codes",
                           "LEADSMAN_SERVER"}) {
    EXPECT_NE(out().find(word), std::string::npos) << word;
  }
  EXPECT_NE(out().find("13 something would have fired"), std::string::npos);
  EXPECT_EQ(Run({"alarms", "--help"}), kOk);
  EXPECT_NE(out().find("leadsman alarms show 1700000000000"), std::string::npos);
  EXPECT_EQ(Run({"status", "--help"}), kOk);
  EXPECT_NE(out().find("LEADSMAN_SERVER is the default"), std::string::npos);
  EXPECT_EQ(out().find("rollout watch"), std::string::npos) << "of the whole program alone";
  EXPECT_EQ(Run({"serve", "--help"}), kOk);
  EXPECT_NE(out().find("--model-repository ./models"), std::string::npos);
  EXPECT_NE(out().find("manifest.json"), std::string::npos);
}

TEST_F(CliTest, WrongUsageIsExitCodeTwo) {
  EXPECT_EQ(Run({}), kUsage);
  EXPECT_EQ(Run({"stauts"}), kUsage);
  EXPECT_EQ(Run({"status", "--jsno"}), kUsage);
  EXPECT_EQ(Run({"rollout"}), kUsage);
  EXPECT_EQ(Run({"rollout", "start", "digits", "-1"}), kUsage);
  EXPECT_EQ(Run({"labels", "add"}), kUsage);
  EXPECT_EQ(Run({"serve"}), kUsage);
  EXPECT_EQ(Run({"serve", "--model", "a=b", "--port", "70000"}), kUsage);
  EXPECT_EQ(Run({"status", "--timeout", "soon"}), kUsage);
}

TEST_F(CliTest, AWrongCommandIsNamedAndAnotherSuggested) {
  EXPECT_EQ(Run({"rollouts"}), kUsage);
  EXPECT_EQ(err(), "leadsman: unknown command 'rollouts'; did you mean rollout?\n");
  EXPECT_EQ(Run({"rollout", "lst"}), kUsage);
  EXPECT_EQ(err(), "leadsman: unknown command 'rollout lst'; did you mean rollout list?\n");
  EXPECT_EQ(Run({"alarms", "silence", "--modle", "m", "--kidn=x", "--for", "2h", "--comment", "c"}),
            kUsage);
  EXPECT_EQ(err(),
            "leadsman: unknown option --modle; did you mean --model?\n"
            "leadsman: unknown argument m\n"
            "leadsman: unknown option --kidn=x; did you mean --kind?\n"
            "leadsman: see leadsman alarms silence --help\n");
  EXPECT_EQ(Run({"frob"}), kUsage);
  EXPECT_TRUE(err().starts_with("leadsman: unknown command 'frob'; commands: serve, ")) << err();
}

TEST_F(CliTest, AWrongPortIsToldTheRange) {
  for (const char* flag : {"--port", "--grpc-port", "--admin-port"}) {
    for (const char* port : {"99999", "-1", "http"}) {
      EXPECT_EQ(Run({"serve", "--model", "a=b", StrCat(flag, "=", port)}), kUsage);
      EXPECT_EQ(err().substr(0, err().find('\n')),
                StrCat(flag, ": must be a port from 0 to 65535, not ", port));
    }
  }
}

TEST_F(CliTest, HelpFitsTheTerminal) {
  terminal_ = true;
  columns_ = 80;
  for (const std::vector<std::string>& command : {std::vector<std::string>{},
                                                  {"serve"},
                                                  {"status"},
                                                  {"models"},
                                                  {"rollout"},
                                                  {"rollout", "list"},
                                                  {"rollout", "record"},
                                                  {"rollout", "replay"},
                                                  {"rollout", "plan"},
                                                  {"labels", "add"},
                                                  {"monitor"},
                                                  {"alarms"},
                                                  {"alarms", "show"},
                                                  {"config", "check"}}) {
    std::vector<std::string> args = command;
    args.push_back("--help");
    EXPECT_EQ(Run(args), kOk);
    std::istringstream lines(out());
    for (std::string line; std::getline(lines, line);) EXPECT_LE(DisplayWidth(line), 80u) << line;
  }
}

TEST_F(CliTest, ServeHandsItsFlagsOn) {
  EXPECT_EQ(Run({"serve", "--model", "a=b", "--model", "c=d", "--port", "0", "--data-dir", "",
                 "--log-level", "debug"}),
            kOk);
  ASSERT_TRUE(served_);
  EXPECT_EQ(served_->models, (std::vector<std::string>{"a=b", "c=d"}));
  EXPECT_EQ(served_->port, 0);
  EXPECT_EQ(served_->data_dir, "");
  EXPECT_EQ(served_->log_level, "debug");
  EXPECT_FALSE(served_->admin_port);
}

TEST_F(CliTest, ChecksConfigurationsAndPrintsReferences) {
  EXPECT_EQ(Run({"config", "check", "good.yaml"}), kOk);
  EXPECT_EQ(out(), "configuration ok\n");
  EXPECT_EQ(Run({"config", "check", "bad.yaml"}), kUsage);
  EXPECT_EQ(err(), "bad.yaml:1:1: x: unknown key\n");
  EXPECT_EQ(Run({"reference", "config"}), kOk);
  EXPECT_EQ(out(), "# Configuration\n");
  EXPECT_EQ(Run({"reference", "config", "--json-schema"}), kOk);
  EXPECT_EQ(out(), "{}\n");
  EXPECT_EQ(Run({"reference", "metrics"}), kOk);
  EXPECT_EQ(out(), "# Metrics\n");
  EXPECT_EQ(Run({"version"}), kOk);
  EXPECT_EQ(out(), "leadsman 1.2.3\n");
}

TEST_F(CliTest, AnAbsentServerIsExitCodeThreeWithTheNextStep) {
  EXPECT_EQ(Run({"status"}), kUnreachable);
  EXPECT_NE(err().find("cannot reach http://127.0.0.1:1"), std::string::npos) << err();
  EXPECT_NE(err().find("is `leadsman serve` or `leadsman monitor` running? give --server"),
            std::string::npos)
      << err();
}

TEST_F(CliServerTest, StatusAndModelsAreTables) {
  EXPECT_EQ(Run({"status"}), kOk) << err();
  EXPECT_NE(out().find("Leadsman 0.0.1, ready"), std::string::npos) << out();
  EXPECT_NE(out().find("MODEL   STATE  READY  NOTE\ndigits  ready  1, 2\n"), std::string::npos)
      << out();
  EXPECT_EQ(Run({"models"}), kOk);
  EXPECT_NE(out().find("digits  1        ready"), std::string::npos) << out();
  EXPECT_EQ(out().find('\x1b'), std::string::npos);
  EXPECT_EQ(Run({"models", "digits", "--json"}), kOk);
  EXPECT_EQ(nlohmann::json::parse(out())["name"], "digits");
  EXPECT_EQ(Run({"models", "iris"}), kNotFound);
  EXPECT_EQ(err(), "leadsman: there is no model iris; models: digits\n");
}

TEST_F(CliServerTest, LabelsOfVersionsCanBeMoved) {
  EXPECT_EQ(Run({"models", "label", "digits", "stable", "1"}), kOk) << err();
  EXPECT_EQ(out(), "label stable of digits points at version 1\n");
  EXPECT_EQ(Run({"models", "label", "digits", "stable", "7"}), kFailed);
}

TEST_F(CliTest, ASchemaIsInferredToTheScreenOrAFile) {
  EXPECT_EQ(Run({"schema", "infer", "train.csv"}), kOk) << err();
  EXPECT_EQ(out(), "features:\n");
  EXPECT_EQ(inferred_, std::pair(std::string("train.csv"), 0.1));
  TempDir dir;
  EXPECT_EQ(Run({"schema", "infer", "train.csv", "--margin", "0", "-o", dir.file("s.json")}), kOk)
      << err();
  EXPECT_EQ(out(), "");
  EXPECT_EQ(inferred_.second, 0);
  auto written = ReadFile(dir.file("s.json"), 1000);
  ASSERT_TRUE(written.ok());
  EXPECT_EQ(nlohmann::json::parse(*written)["features"].size(), 0u);
  EXPECT_EQ(Run({"schema", "infer", "train.csv", "-o", dir.file("s.txt")}), kUsage);
  EXPECT_EQ(err(), "leadsman: -o: the name of a schema must end in .yaml, .yml or .json\n");
  EXPECT_EQ(Run({"schema", "infer", "train.csv", "--margin", "much"}), kUsage);
  EXPECT_EQ(Run({"schema", "infer", "none.csv"}), kUsage);
  EXPECT_EQ(err(), "leadsman: open none.csv: there is no such file\n");
  for (const char* sub : {"infer", "check", "diff", "show", "relearn"}) {
    EXPECT_EQ(Run({"schema", sub, "--help"}), kOk);
    EXPECT_NE(out().find(StrCat("leadsman schema ", sub)), std::string::npos) << out();
  }
}

TEST_F(CliTest, ACheckOfASchemaIsATableAndAnExitCode) {
  report_ = std::string(
      R"({"file":"new.csv","schema":"s.yaml","rows":5,"violating_rows":2,"row_word":"line","violations":[)"
      R"({"feature":"age","rule":"range","expected":"must be from 18 to 95","count":2,"first_rows":[2,5]}]})");
  EXPECT_EQ(Run({"schema", "check", "new.csv", "--schema", "s.yaml"}), kFailed);
  EXPECT_EQ(out(),
            "new.csv: 2 of 5 rows break s.yaml\n"
            "FEATURE  RULE   ROWS  FIRST LINES  EXPECTED\n"
            "age      range  2     2 5          must be from 18 to 95\n");
  EXPECT_EQ(Run({"schema", "check", "new.csv", "--schema", "s.yaml", "--json"}), kFailed);
  EXPECT_EQ(nlohmann::json::parse(out())["violating_rows"], 2);
  report_ = std::string(R"({"file":"new.csv","schema":"s.yaml","rows":5,"violations":[]})");
  EXPECT_EQ(Run({"schema", "check", "new.csv", "--schema", "s.yaml"}), kOk);
  EXPECT_EQ(out(), "new.csv: all keep it: 5 rows, s.yaml\n");
  report_ = InvalidArgumentError("new.csv: line 2 has 1 cells, the header 2");
  EXPECT_EQ(Run({"schema", "check", "new.csv", "--schema", "s.yaml"}), kUsage);
  EXPECT_EQ(err(), "leadsman: new.csv: line 2 has 1 cells, the header 2\n");
  EXPECT_EQ(Run({"schema", "check", "new.csv"}), kUsage);
}

TEST_F(CliTest, ADifferenceOfSchemasIsATableAndAnExitCode) {
  report_ = std::string(R"({"before":"a.yaml","after":"b.yaml","changes":[]})");
  EXPECT_EQ(Run({"schema", "diff", "a.yaml", "b.yaml"}), kOk);
  EXPECT_EQ(out(), "");
  report_ = std::string(
      R"({"before":"a.yaml","after":"b.yaml","changes":[{"feature":"age","what":"min","before":"18","after":"21"}]})");
  EXPECT_EQ(Run({"schema", "diff", "a.yaml", "b.yaml"}), kFailed);
  EXPECT_EQ(out(), "FEATURE  WHAT  a.yaml  b.yaml\nage      min   18      21\n");
  EXPECT_EQ(Run({"reference", "schema"}), kOk);
  EXPECT_EQ(out(), "# Data schema\n");
}

TEST_F(CliServerTest, TheSchemaOfAModelIsShownWithWhatBrokeIt) {
  EXPECT_EQ(Run({"schema", "show", "digits"}), kOk);
  EXPECT_NE(out().find("digits has served no request"), std::string::npos) << out();
  auto send = [&](float value, int times) {
    for (int i = 0; i < times; ++i) {
      const float row[] = {value, static_cast<float>(i % 10)};
      PredictionEvent event;
      event.model = "digits";
      event.version = 1;
      event.features = row;
      while (!fixture_.monitor().TryEmit(event))
        ASSERT_TRUE(fixture_.monitor().Flush(std::chrono::seconds(20)));
    }
    ASSERT_TRUE(fixture_.monitor().Flush(std::chrono::seconds(20)));
  };
  send(3, 20);
  EXPECT_EQ(Run({"schema", "show", "digits"}), kOk);
  EXPECT_EQ(out(),
            "digits:1: a schema is made of the first 5000 requests with inputs; 20 have come\n");
  send(3, 4980);
  send(4, 30);
  EXPECT_EQ(Run({"schema", "show", "digits", "--version", "1"}), kOk);
  EXPECT_NE(out().find("; 30 of 30 rows break it, 1% are accepted\n"), std::string::npos) << out();
  EXPECT_NE(out().find("f1       integer  never    never       0 to 10\n"), std::string::npos)
      << out();
  EXPECT_NE(out().find("f0       range  30 "), std::string::npos) << out();
  EXPECT_NE(out().find("must be from 3 to 3"), std::string::npos) << out();
  EXPECT_EQ(Run({"schema", "show", "digits", "--json"}), kOk);
  EXPECT_EQ(nlohmann::json::parse(out())["versions"][0]["state"], "frozen");
  EXPECT_EQ(Run({"schema", "show", "digits", "--version", "9"}), kNotFound);
}

TEST_F(CliServerTest, QualityIsATableOfClassesAndOneOfSegments) {
  EXPECT_EQ(Run({"quality", "digits"}), kOk);
  EXPECT_EQ(out(), "digits has served no request yet\n");
  std::vector<GroundTruth> labels;
  for (int i = 0; i < 100; ++i) {
    const std::string id = std::to_string(i);
    const std::string_view predicted[] = {i % 4 == 0 ? "7" : "1"};
    const float score[] = {i % 4 == 0 ? 0.125f : 0.75f};
    PredictionEvent event;
    event.model = "digits";
    event.version = 1;
    event.request_id = id;
    event.predicted = predicted;
    event.answer = AnswerKind::kClass;
    event.score_of = ScoreOf::kSecondClass;
    event.row_scores = score;
    fixture_.monitor().Emit(event);
    if (i < 80) labels.push_back({id, 0, i < 60 ? std::string(predicted[0]) : "7", 0});
  }
  fixture_.monitor().AddLabels(labels);
  ASSERT_TRUE(fixture_.monitor().Flush(std::chrono::seconds(20)));
  EXPECT_EQ(Run({"quality", "digits"}), kOk);
  for (const char* part :
       {"digits:1\n  accuracy 81.2% of 80 labelled rows; 95% interval 71% to 89.1% by 80 requests",
        "labels: 80 of 100 predictions, 80% (80% up to 10m)",
        "scores of class 1, 80 rows: AUC 0.7857 ± 0.",
        "CLASS  LABELLED  PREDICTED  PRECISION  RECALL",
        "1      45        60         75%        100%", "most often: 7 taken for 1 15 times"}) {
    EXPECT_NE(out().find(part), std::string::npos) << part << "\n" << out();
  }
  EXPECT_EQ(Run({"quality", "digits", "--by", "segment"}), kOk);
  EXPECT_NE(out().find("set monitoring.segments"), std::string::npos) << out();
  EXPECT_EQ(Run({"quality", "digits", "--json"}), kOk);
  EXPECT_EQ(nlohmann::json::parse(out())["versions"][0]["labelled"], 80);
  EXPECT_EQ(Run({"quality", "digits", "--version", "9"}), kNotFound);
  EXPECT_EQ(Run({"quality", "digits", "--by", "tenant"}), kUsage);
}

TEST_F(CliServerTest, DriftIsATableWithTheNoiseBesideIt) {
  EXPECT_EQ(Run({"drift", "digits"}), kOk);
  EXPECT_NE(out().find("digits has served no request yet"), std::string::npos) << out();
  const std::string_view predicted[] = {"7"};
  for (int i = 0; i < 7000; ++i) {
    const float row[] = {static_cast<float>(i % 10)};
    PredictionEvent event;
    event.model = "digits";
    event.version = 1;
    event.features = row;
    event.predicted = predicted;
    while (!fixture_.monitor().TryEmit(event))
      ASSERT_TRUE(fixture_.monitor().Flush(std::chrono::seconds(20)));
    if (i != 20) continue;
    ASSERT_TRUE(fixture_.monitor().Flush(std::chrono::seconds(20)));
    EXPECT_EQ(Run({"drift", "digits", "--version", "1"}), kOk);
    EXPECT_NE(out().find("inputs: collecting a reference, 21 of 5000 rows"), std::string::npos)
        << out();
  }
  ASSERT_TRUE(fixture_.monitor().Flush(std::chrono::seconds(20)));
  EXPECT_EQ(Run({"drift", "digits"}), kOk);
  EXPECT_NE(out().find("inputs: compared with 5000 rows (first_requests), in blocks of 50;"),
            std::string::npos)
      << out();
  EXPECT_NE(out().find(", NOW is of the last "), std::string::npos) << out();
  EXPECT_NE(out().find("input   f0       4.5"), std::string::npos) << out();
  EXPECT_NE(out().find("answer  class 7  1"), std::string::npos) << out();
  EXPECT_EQ(Run({"drift", "digits", "--json"}), kOk);
  EXPECT_EQ(nlohmann::json::parse(out())["versions"][0]["version"], 1);
  EXPECT_EQ(Run({"drift", "digits", "--version", "9"}), kNotFound);
  EXPECT_EQ(Run({"drift"}), kUsage);
  EXPECT_EQ(Run({"drift", "reset", "digits", "--version", "9"}), kNotFound);
  EXPECT_EQ(Run({"drift", "reset"}), kUsage);
  EXPECT_EQ(Run({"schema", "relearn", "digits", "--version", "9"}), kNotFound);
  EXPECT_EQ(Run({"schema", "relearn"}), kUsage);
  EXPECT_EQ(Run({"schema", "show", "digits"}), kOk);
  EXPECT_NE(out().find("digits:1: schema from first_requests (of 5000 rows"), std::string::npos)
      << out();
  EXPECT_EQ(Run({"schema", "relearn", "digits"}), kOk) << err();
  EXPECT_NE(out().find("the schema of digits:1 is taken anew"), std::string::npos) << out();
  EXPECT_EQ(Run({"schema", "show", "digits"}), kOk);
  EXPECT_NE(out().find("made of the first requests with inputs; 0 have come"), std::string::npos)
      << out();
  EXPECT_EQ(Run({"drift", "reset", "digits"}), kOk) << err();
  EXPECT_NE(out().find("references of digits:1 are taken anew"), std::string::npos) << out();
  EXPECT_EQ(Run({"drift", "digits"}), kOk);
  EXPECT_NE(out().find("; the next reference has 0 of 5000 rows"), std::string::npos) << out();
}

TEST_F(CliServerTest, RolloutsAreFoundByNumberOrModel) {
  EXPECT_EQ(Run({"rollout", "list"}), kOk);
  EXPECT_NE(out().find("no rollouts yet"), std::string::npos);
  fixture_.rollouts.Put(FakeRollouts::Example(1));
  RolloutView second = FakeRollouts::Example(2);
  second.gates.push_back({.gate = "loss",
                          .loss = GateView::Loss{.metric = "absolute_error",
                                                 .highest = 50,
                                                 .stable_mean = 3.2149,
                                                 .candidate_mean = {}},
                          .stable_exposure = 40});
  second.expected_end.emplace().text = "unknown: no traffic";
  fixture_.rollouts.Put(second);
  EXPECT_EQ(Run({"rollout", "list"}), kOk);
  EXPECT_NE(out().find("1   digits  1 → 2     progressing  2/3   25%"), std::string::npos) << out();
  EXPECT_EQ(Run({"rollout", "show", "digits"}), kOk);
  EXPECT_NE(out().find("rollout 2  digits 1 → 2"), std::string::npos) << out();
  EXPECT_NE(out().find("worse [##########..........] 50%"), std::string::npos) << out();
  EXPECT_NE(out().find("bad: stable 3/300, candidate 1/100"), std::string::npos) << out();
  EXPECT_NE(out().find("mean absolute_error: stable 3.21 of 40, candidate - of 0"),
            std::string::npos)
      << out();
  EXPECT_NE(out().find("p99        waits  promql: 0.2 is within its bounds"), std::string::npos)
      << out();
  EXPECT_NE(out().find("note: errors: about 400"), std::string::npos) << out();
  EXPECT_NE(out().find("expected   unknown: no traffic\nreason     waiting"), std::string::npos)
      << out();
  EXPECT_EQ(Run({"rollout", "show", "9"}), kNotFound);
  EXPECT_EQ(Run({"rollout", "show", "iris"}), kNotFound);
  EXPECT_EQ(Run({"rollout", "promote", "1"}), kOk);
  EXPECT_NE(out().find("rollout 1 of digits will leave its step at its next tick"),
            std::string::npos)
      << out();
  EXPECT_EQ(Run({"rollout", "promote", "1", "--full"}), kOk);
  EXPECT_NE(out().find("will be promoted"), std::string::npos) << out();
  EXPECT_EQ(Run({"rollout", "pause", "digits"}), kOk);
  EXPECT_NE(out().find("rollout 2 of digits will be paused"), std::string::npos) << out();
  EXPECT_EQ(Run({"rollout", "resume", "2"}), kOk);
  EXPECT_EQ(Run({"rollout", "abort", "digits"}), kOk);
  EXPECT_EQ(Run({"rollout", "start", "digits", "2"}), kFailed);
  EXPECT_EQ(fixture_.rollouts.calls(),
            (std::vector<std::string>{
                "promote 1 by leadsman command line", "promote fully 1 by leadsman command line",
                "pause 2 by leadsman command line", "resume 2 by leadsman command line",
                "abort 2 by leadsman command line", "start digits 2"}));
}

TEST_F(CliServerTest, RetryAndUndoFindTheRolloutTheyAreMeantFor) {
  RolloutView view = FakeRollouts::Example(1);
  view.phase = RolloutPhase::kPromoted;
  fixture_.rollouts.Put(view);
  EXPECT_EQ(Run({"rollout", "retry", "digits"}), kNotFound);
  EXPECT_NE(err().find("no rollout of digits has been rolled back or aborted"), std::string::npos)
      << err();
  view.id = 2;
  view.phase = RolloutPhase::kRolledBack;
  fixture_.rollouts.Put(view);
  EXPECT_EQ(Run({"rollout", "undo", "digits"}), kOk);
  EXPECT_NE(out().find("the rollout of digits version 1 is asked for"), std::string::npos) << out();
  EXPECT_EQ(Run({"rollout", "retry", "digits"}), kOk);
  EXPECT_EQ(Run({"rollout", "undo", "2"}), kFailed);
  // An undo is not undone by the model's name: who asks twice would have the bad version back.
  view.id = 3;
  view.phase = RolloutPhase::kPromoted;
  view.undo_by = "ana";
  fixture_.rollouts.Put(view);
  EXPECT_EQ(Run({"rollout", "undo", "digits"}), kFailed);
  EXPECT_NE(err().find("rollout 3 of digits is an undo itself"), std::string::npos) << err();
  EXPECT_EQ(Run({"rollout", "undo", "3"}), kOk) << err();
  EXPECT_EQ(fixture_.rollouts.calls(),
            (std::vector<std::string>{
                "undo 1 by leadsman command line", "retry 2 by leadsman command line",
                "undo 2 by leadsman command line", "undo 3 by leadsman command line"}));
}

TEST_F(CliTest, ARecordIsReplayedWithoutAServer) {
  TempDir dir;
  const std::string record = RecordedRollout(0.06), file = dir.file("verdict.json");
  std::ofstream(file) << record;
  EXPECT_EQ(Run({"rollout", "replay", file}), kOk) << err();
  EXPECT_NE(out().find("rollout 1  digits 1 → 2  rolled_back  recorded by leadsman 0.1.0"),
            std::string::npos)
      << out();
  EXPECT_NE(out().find("DECISION"), std::string::npos);
  EXPECT_NE(out().find("replayed   to the same verdict, tick by tick"), std::string::npos) << out();
  EXPECT_EQ(Run({"rollout", "replay", "-"}, record), kOk) << err();
  EXPECT_EQ(Run({"rollout", "replay", file, "--json"}), kOk);
  EXPECT_EQ(nlohmann::json::parse(out())["agrees"], true);
  EXPECT_EQ(Run({"rollout", "replay", file, "--alpha", "0.000001"}), kOk);
  EXPECT_NE(out().find("what if    alpha 1e-06, beta 0.05: progressing"), std::string::npos)
      << out();
}

TEST_F(CliTest, ARecordThatWasChangedIsExitCodeFourteen) {
  TempDir dir;
  const std::string file = dir.file("verdict.json");
  auto record = nlohmann::ordered_json::parse(RecordedRollout(0.06));
  record["verdict"]["phase"] = "promoted";
  record["engine"] = 99;
  std::ofstream(file) << record.dump();
  EXPECT_EQ(Run({"rollout", "replay", file}), kDiffers);
  EXPECT_NE(out().find("otherwise: verdict.phase: the record says"), std::string::npos) << out();
  EXPECT_NE(out().find("made by engine 99"), std::string::npos) << out();
  EXPECT_EQ(Run({"rollout", "replay", file, "--json"}), kDiffers);
  std::ofstream(file) << "{}";
  EXPECT_EQ(Run({"rollout", "replay", file}), kFailed);
  EXPECT_NE(err().find("verdict.json: is no record of a rollout"), std::string::npos) << err();
  EXPECT_EQ(Run({"rollout", "replay", dir.file("none.json")}), kUnreachable) << "not a file: an ID";
  EXPECT_EQ(Run({"rollout", "replay", file, "--alpha", "7"}), kUsage);
}

TEST_F(CliTest, APlanIsToldOfTrafficThatIsSaid) {
  EXPECT_EQ(Run({"rollout", "plan"}), kUsage);
  EXPECT_NE(err().find("nothing says what the traffic is"), std::string::npos);
  EXPECT_EQ(Run({"rollout", "plan", "--requests-per-second", "20", "--error-rate", "0.5%"}), kOk)
      << err();
  EXPECT_NE(out().find("traffic    20 requests/s, errors 0.5%, labels for 0%"), std::string::npos)
      << out();
  EXPECT_NE(out().find("promotion  of an equal candidate after about"), std::string::npos) << out();
  EXPECT_NE(out().find("alpha      1%, of which errors 0.5%, latency 0.5%\n"), std::string::npos)
      << out();
  EXPECT_EQ(out().find("CANDIDATE"), std::string::npos) << "nothing was played";
  EXPECT_EQ(Run({"rollout", "plan", "--requests-per-second", "0.001"}), kOk);
  EXPECT_NE(out().find("warning    gate errors: at this traffic"), std::string::npos) << out();
  EXPECT_EQ(Run({"rollout", "plan", "--requests-per-second", "20", "--simulate=5", "--worse", "9"}),
            kOk);
  EXPECT_NE(out().find("errors x9"), std::string::npos) << out();
  EXPECT_EQ(Run({"rollout", "plan", "digits", "--config", "c.yaml", "--requests-per-second", "20",
                 "--json"}),
            kOk);
  EXPECT_EQ(nlohmann::json::parse(out())["forecast"]["steps"].size(), 1u);
  EXPECT_EQ(Run({"rollout", "plan", "iris", "--config", "c.yaml", "--requests-per-second", "20"}),
            kUsage);
  EXPECT_EQ(err(), "leadsman: c.yaml: model iris has no rollout plan\n");
  EXPECT_EQ(Run({"rollout", "plan", "--requests-per-second", "20", "--error-rate", "5"}), kUsage);
  EXPECT_NE(err().find("--error-rate: must be a share from 0 to 100%"), std::string::npos);
  EXPECT_EQ(Run({"rollout", "plan", "--requests-per-second", "-1"}), kUsage);
  EXPECT_EQ(Run({"rollout", "plan", "--record", "none.json"}), kFailed);
  TempDir dir;
  std::ofstream(dir.file("verdict.json")) << RecordedRollout(0.01);
  EXPECT_EQ(Run({"rollout", "plan", "--record", dir.file("verdict.json"), "--simulate=3"}), kOk);
  EXPECT_NE(out().find("traffic    200 requests/s"), std::string::npos) << out();
}

TEST_F(CliServerTest, RecordsAndPlansComeFromTheServer) {
  fixture_.rollouts.Put(FakeRollouts::Example(1));
  const std::string record = RecordedRollout(0.06);
  EXPECT_EQ(Run({"rollout", "record", "digits"}), kNotFound);
  fixture_.rollouts.PutRecord(1, record);
  EXPECT_EQ(Run({"rollout", "record", "digits"}), kOk);
  EXPECT_EQ(nlohmann::json::parse(out()), nlohmann::json::parse(record));
  EXPECT_GT(std::ranges::count(out(), '\n'), 5) << "a line for each tick";
  EXPECT_EQ(Run({"rollout", "replay", "1"}), kOk) << err();
  EXPECT_EQ(Run({"rollout", "plan", "digits"}), kNotFound);
  fixture_.rollouts.PutStanding("digits", {DefaultRolloutPlan(), 2});
  EXPECT_EQ(Run({"rollout", "plan", "digits"}), kOk) << err();
  EXPECT_NE(out().find("warning    there is no traffic"), std::string::npos) << out();
  EXPECT_EQ(Run({"rollout", "plan", "digits", "--requests-per-second", "50"}), kOk);
  EXPECT_NE(out().find("of an equal candidate"), std::string::npos) << out();
}

TEST_F(CliServerTest, EndedRolloutsShowHowFarTheyCameAndWhoHasTheTraffic) {
  RolloutView view = FakeRollouts::Example(1);
  view.phase = RolloutPhase::kPromoted;
  view.step = 2;
  view.share = 0;
  fixture_.rollouts.Put(view);
  view.id = 2;
  view.phase = RolloutPhase::kRolledBack;
  view.step = 0;
  fixture_.rollouts.Put(view);
  EXPECT_EQ(Run({"rollout", "list"}), kOk);
  EXPECT_NE(out().find("promoted     3/3   100%"), std::string::npos) << out();
  EXPECT_NE(out().find("rolled_back  1/3   0%"), std::string::npos) << out();
  EXPECT_EQ(Run({"rollout", "show", "1"}), kOk);
  EXPECT_NE(out().find("100% to version 2"), std::string::npos) << out();
}

TEST_F(CliServerTest, ALongReasonIsCutInATerminalAndWholeInAPipe) {
  RolloutView view = FakeRollouts::Example(1);
  view.reason = std::string(300, 'x') + "end";
  fixture_.rollouts.Put(view);
  EXPECT_EQ(Run({"rollout", "list"}), kOk);
  EXPECT_NE(out().find("xend\n"), std::string::npos);
  terminal_ = true;
  EXPECT_EQ(Run({"rollout", "list"}), kOk);
  std::istringstream lines(out());
  for (std::string line; std::getline(lines, line);) EXPECT_LE(DisplayWidth(line), 100u) << line;
  EXPECT_NE(out().find("x…\n"), std::string::npos) << out();
}

TEST_F(CliServerTest, TablesFitATerminalOf80Columns) {
  RolloutView view = FakeRollouts::Example(1);
  view.reason =
      "the latency gate has seen enough: the candidate is slower than the stable version in 7.5% "
      "of its requests, the plan allows 2%";
  fixture_.rollouts.Put(view);
  terminal_ = true;
  columns_ = 80;
  for (const std::vector<std::string>& args :
       std::vector<std::vector<std::string>>{{"status"}, {"models"}}) {
    EXPECT_EQ(Run(args), kOk);
    std::istringstream lines(out());
    for (std::string line; std::getline(lines, line);) EXPECT_LE(DisplayWidth(line), 80u) << line;
  }
}

TEST_F(CliServerTest, WatchPrintsChangesUntilTheVerdict) {
  RolloutView view = FakeRollouts::Example(1);
  fixture_.rollouts.Put(view);
  int waits = 0;
  on_wait_ = [&] {
    ++waits;
    if (waits == 2) view.share = 0.5, view.step = 2;
    if (waits == 4) view.phase = RolloutPhase::kRolledBack, view.reason = "wrong answers";
    fixture_.rollouts.Put(view);
    return true;
  };
  EXPECT_EQ(Run({"rollout", "watch", "digits"}), kRolledBack);
  EXPECT_EQ(out(),
            "rollout 1 digits 1 → 2: progressing, step 2 of 3, 25%: waiting for more labels\n"
            "rollout 1 digits 1 → 2: progressing, step 3 of 3, 50%: waiting for more labels\n"
            "rollout 1 digits 1 → 2: rolled_back, step 3 of 3, 50%: wrong answers\n");
  view.phase = RolloutPhase::kPromoted;
  fixture_.rollouts.Put(view);
  EXPECT_EQ(Run({"rollout", "watch", "1"}), kOk);
  view.phase = RolloutPhase::kAborted;
  fixture_.rollouts.Put(view);
  EXPECT_EQ(Run({"rollout", "watch", "1"}), kAborted);
  view.phase = RolloutPhase::kHeld;
  fixture_.rollouts.Put(view);
  EXPECT_EQ(Run({"rollout", "watch", "1", "--until-held"}), kHeld);
}

TEST_F(CliServerTest, WatchWaitsForTheRolloutToAVersion) {
  RolloutView view = FakeRollouts::Example(1);
  view.candidate = 3;
  view.phase = RolloutPhase::kPromoted;
  fixture_.rollouts.Put(view);
  int waits = 0;
  on_wait_ = [&] {
    if (++waits < 3) return true;
    view.id = 2;
    view.candidate = 4;
    view.phase = RolloutPhase::kRolledBack;
    fixture_.rollouts.Put(view);
    return true;
  };
  EXPECT_EQ(Run({"rollout", "watch", "digits", "--version", "4"}), kRolledBack) << err();
  EXPECT_EQ(waits, 3);
  EXPECT_EQ(Run({"rollout", "watch", "digits", "--version", "3"}), kOk);
  on_wait_ = [] { return false; };
  EXPECT_EQ(Run({"rollout", "watch", "digits", "--version", "5"}), kNotFound);
  EXPECT_EQ(err(),
            "leadsman: no rollout of digits to version 5 has begun; `leadsman models digits` says "
            "how the version is\n");
  EXPECT_EQ(Run({"rollout", "watch", "digits", "--version", "0"}), kUsage);
  EXPECT_NE(err().find("must be a version's number, as 3, not 0"), std::string::npos) << err();
}

TEST_F(CliServerTest, StartTellsTheNumberOfTheRolloutThatHasBegun) {
  RolloutView view = FakeRollouts::Example(1);
  view.phase = RolloutPhase::kAborted;
  fixture_.rollouts.Put(view);
  EXPECT_EQ(Run({"rollout", "start", "digits", "2"}), kOk) << err();
  EXPECT_NE(out().find("has not begun yet"), std::string::npos) << out();
  on_wait_ = [&] {
    view.id = 2;
    fixture_.rollouts.Put(view);
    return true;
  };
  EXPECT_EQ(Run({"rollout", "start", "digits", "2"}), kOk) << err();
  EXPECT_EQ(out(),
            "rollout 2 of digits version 2 has begun; `leadsman rollout watch 2` shows it\n");
  EXPECT_EQ(Run({"rollout", "start", "digits", "2", "--plan", "none.yaml"}), kUsage);
  EXPECT_EQ(err(), "leadsman: open none.yaml: there is no such file\n");
  EXPECT_EQ(Run({"rollout", "start", "digits", "2", "--plan", "plan.yaml"}), kOk) << err();
  EXPECT_EQ(fixture_.rollouts.calls().back(), "start digits 2 alpha 0.02");
}

TEST_F(CliServerTest, WatchRedrawsInATerminal) {
  terminal_ = true;
  RolloutView view = FakeRollouts::Example(1);
  fixture_.rollouts.Put(view);
  on_wait_ = [&] {
    view.phase = RolloutPhase::kPromoted;
    fixture_.rollouts.Put(view);
    return true;
  };
  EXPECT_EQ(Run({"rollout", "watch", "1"}), kOk);
  EXPECT_NE(out().find("\x1b[8A\x1b[J"), std::string::npos) << out();
  EXPECT_NE(out().find("\x1b[32mpromoted"), std::string::npos) << out();
}

TEST_F(CliServerTest, LabelsComeFromArgumentsFilesAndPipes) {
  EXPECT_EQ(Run({"labels", "add", "r1", "7"}), kOk) << err();
  EXPECT_EQ(out(), "1 label accepted\n");
  EXPECT_EQ(
      Run({"labels", "add", "--file", "-"},
          "{\"request_id\": \"a\", \"label\": 1}\n\n{\"request_id\": \"b\", \"label\": \"x\"}\n"),
      kOk)
      << err();
  EXPECT_EQ(out(), "2 labels accepted\n");
  TempDir dir;
  std::ofstream(dir.file("l.csv")) << "request_id,label,row\r\na,1,0\r\n\"b,\"\"c\",2,1\r\n";
  EXPECT_EQ(Run({"labels", "add", "--file", dir.file("l.csv"), "--json"}), kOk) << err();
  EXPECT_EQ(nlohmann::json::parse(out())["accepted"], 2);
  EXPECT_EQ(Run({"labels", "add", "--file", dir.file("none.csv")}), kFailed);
  // Columns are found by their names, among others and in any order.
  const std::vector<std::string> piped = {"labels", "add", "--file", "-", "--format", "csv"};
  EXPECT_EQ(Run(piped,
                "\xef\xbb\xbf"
                "at,Label,request_id\n1,7,a\n2,8,b\n"),
            kOk)
      << err();
  EXPECT_EQ(out(), "2 labels accepted\n");
  EXPECT_EQ(Run(piped, "label,id\n7,a\n"), kFailed);
  EXPECT_NE(err().find("line 1: a header needs request_id and label, not label and id"),
            std::string::npos)
      << err();
  EXPECT_EQ(Run(piped, "request_id,label\na,7,1\n"), kFailed);
  EXPECT_NE(err().find("line 2: must have 2 fields as the header"), std::string::npos) << err();
}

TEST_F(CliServerTest, ABadLineIsNamed) {
  EXPECT_EQ(Run({"labels", "add", "--file", "-", "--format", "csv"}, "a,1\nb\nc,3\n"), kFailed);
  EXPECT_NE(err().find("line 2: must be request_id,label"), std::string::npos) << err();
  EXPECT_EQ(out(), "1 label accepted\n");
  EXPECT_EQ(Run({"labels", "add", "--file", "-"}, "{\"request_id\": \"a\", \"label\": []}\n"),
            kFailed);
  EXPECT_NE(err().find("labels[0].label: must be a text"), std::string::npos) << err();
}

TEST_F(CliServerTest, RowsWithoutALabelArePassedOverAndCounted) {
  EXPECT_EQ(Run({"labels", "add", "--file", "-", "--format", "csv"},
                "request_id,label\na,1.0\nb,\nc,NaN\nd,0\n"),
            kOk)
      << err();
  EXPECT_EQ(out(), "2 labels accepted; 2 rows have no label and count for nothing\n");
  EXPECT_EQ(
      Run({"labels", "add", "--file", "-", "--json"},
          "{\"request_id\": \"a\", \"label\": null}\n{\"request_id\": \"b\", \"label\": NaN}\n"
          "{\"request_id\": \"c\", \"label\": 1}\n"),
      kOk)
      << err();
  EXPECT_EQ(nlohmann::json::parse(out())["accepted"], 1);
  EXPECT_EQ(nlohmann::json::parse(out())["without_label"], 2);
}

TEST_F(CliServerTest, TheServersConfigurationIsShown) {
  EXPECT_EQ(Run({"config", "show"}), kOk) << err();
  EXPECT_EQ(nlohmann::json::parse(out()), nlohmann::json({{"models", nlohmann::json::array()}}));
}

TEST(TableTest, AlignsByWhatIsSeen) {
  std::ostringstream out;
  Table table({"A", "B"});
  table.Add({"1 → 2", "x"});
  table.Add({Paint(true).Good("ok"), ""});
  table.Print(out, Paint(false));
  EXPECT_EQ(out.str(), "A      B\n1 → 2  x\n\x1b[32mok\x1b[0m\n");
  EXPECT_EQ(Wrapped("  one two → three", 9, 2), "  one two\n  → three");
  EXPECT_EQ(Shortened("1 → 2 → 3", 5), "1 →…");
  EXPECT_EQ(Shortened("1 → 2", 5), "1 → 2");
  EXPECT_EQ(Clean("a\x1b[2Jb\n"), "a [2Jb ");
  EXPECT_EQ(Clean("a\u009b2J\u00e9"), "a 2J\u00e9") << "C1 control characters";
  EXPECT_EQ(Bar(0.5, 4, false), "[##..]");
  EXPECT_EQ(Bar(-3, 4, false), "[....]");
  EXPECT_EQ(Percent(0.125), "12.5%");
  EXPECT_EQ(Seconds(0.0012), "1.2ms");
}

TEST(TableTest, FitsATerminal) {
  Table table({"MODEL", "STATE", "NOTE"});
  table.Add({"a-model-with-a-long-name", Paint(true).Good("ready"), ""});
  table.Add({"digits", "empty", "no version yet: ./models/digits holds no folder"});
  auto text = [&](int columns) {
    std::ostringstream out;
    table.Print(out, Paint(false), columns);
    return out.str();
  };
  EXPECT_EQ(text(0), text(200));
  // Enough is left for the beginning of the note, too little, and nothing at all.
  EXPECT_EQ(text(60),
            "MODEL                     STATE  NOTE\n"
            "a-model-with-a-long-name  \x1b[32mready\x1b[0m\n"
            "digits                    empty  no version yet: ./models/d…\n");
  EXPECT_EQ(text(40),
            "MODEL                     STATE\n"
            "a-model-with-a-long-name  \x1b[32mready\x1b[0m\n"
            "digits                    empty\n"
            "  no version yet: ./models/digits holds\n"
            "  no folder\n");
  EXPECT_TRUE(
      text(20).starts_with("MODEL          STATE\n"
                           "a-model-with-… \x1b[32mready\x1b[0m\n"
                           "digits         empty\n"))
      << text(20);
}

TEST_F(CliServerTest, ShowsAlarmsAndSilencesThem) {
  EXPECT_EQ(Run({"alarms"}), kOk);
  EXPECT_EQ(out(), "no alarms; 0 subjects are watched\n");
  Finding finding;
  finding.subject.model = "digits";
  finding.severity = AlarmSeverity::kPage;
  finding.wrong = true;
  finding.summary = "it burns";
  finding.details = {{"objective", "99 %"}};
  fixture_.findings = {finding};
  fixture_.alarms.Look();
  EXPECT_EQ(Run({"alarms", "list"}), kOk);
  EXPECT_NE(out().find("it burns"), std::string::npos) << out();
  EXPECT_EQ(Run({"alarms", "--check"}), kFailed);
  const std::string id = std::to_string(fixture_.alarms.view()->alarms.at(0).id);
  EXPECT_EQ(Run({"alarms", "show", id}), kOk);
  EXPECT_NE(out().find("99 %"), std::string::npos) << out();
  EXPECT_NE(out().find("budget_spent"), std::string::npos) << out();
  EXPECT_NE(out().find("guaranteed"), std::string::npos) << out();
  EXPECT_EQ(Run({"alarms", "show", "7"}), kNotFound);
  EXPECT_EQ(Run({"alarms", "silence", "--model", "digits", "--for", "2h", "--author", "ann",
                 "--comment", "known"}),
            kOk)
      << err();
  EXPECT_NE(out().find(", which matches 1 alarm of now"), std::string::npos) << out();
  EXPECT_EQ(err(), "");
  EXPECT_EQ(Run({"alarms", "--check"}), kOk) << "silenced, at once";
  EXPECT_EQ(Run({"alarms", "silence", "--model", "digist", "--for", "2h", "--author", "ann",
                 "--comment", "known"}),
            kOk);
  EXPECT_NE(out().find(", which matches no alarms of now"), std::string::npos) << out();
  EXPECT_EQ(err(),
            "leadsman: the silence is made, but there is no model digist; did you mean digits?\n");
  EXPECT_EQ(Run({"alarms", "--model", "digist"}), kNotFound);
  EXPECT_EQ(Run({"rollout", "list", "--model", "digist"}), kNotFound);
  EXPECT_EQ(Run({"alarms", "silences"}), kOk);
  EXPECT_NE(out().find("known"), std::string::npos) << out();
  EXPECT_EQ(Run({"alarms", "unsilence", "1"}), kOk);
  EXPECT_EQ(Run({"alarms", "unsilence", "1"}), kNotFound);
  EXPECT_EQ(Run({"alarms", "silence", "--for", "2h", "--author", "a", "--comment", "c"}), kFailed);
}

}  // namespace
}  // namespace leadsman::cli
