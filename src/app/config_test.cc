#include "app/config.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>

#include <nlohmann/json.hpp>

#include "app/named_files.h"
#include "app/version.h"
#include "base/fs.h"
#include "base/strings.h"
#include "base/testing/temp_dir.h"
#include "rollout/config_schema.h"
#include "support/test_paths.h"

namespace leadsman {
namespace {

using namespace std::chrono_literals;  // NOLINT: literals

constexpr const char* kDemo = R"(
server: {address: 127.0.0.1, port: 8501, limits: {max_body: 8MiB}}
admin: {port: 8502}
data_dir: ./data
lifecycle: {poll_interval: 500ms}
models:
  - name: digits
    path: ./repository/digits
    versions: {latest: 2}
    labels: {stable: 1}
    monitoring: {window: 2s, label_timeout: 10m}
    rollout:
      steps:
        - {weight: 10%, duration: 3s, min_requests: 200}
        - {weight: 0.5, duration: 3s}
      gates:
        - {kind: errors, margin: 2.0, floor: 1%}
        - {kind: latency, quantiles: [50%, 99.9%]}
        - {kind: quality, margin: 2, floor: 5%}
      alpha: 1%
      interval: 500ms
      max_duration: 10m
plain: {model: digits}
)";

std::string Errors(const std::string& yaml) {
  Config config;
  std::vector<ConfigProblem> problems;
  ParseConfig(yaml, config, problems);
  return FormatProblems("c.yaml", problems);
}

std::string FileText(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
}

TEST(ConfigTest, SegmentsAndObjectivesOfQualitySayWhatIsWrongWithThem) {
  const std::string model = "models: [{name: a, path: /m, monitoring: {";
  EXPECT_EQ(Errors(model + "segments: [{name: t, header: x-t, values: [b]}, {name: age, input: x, "
                           "index: 3, cuts: [18, 35]}], max_segments: 9, task: regression}}]"),
            "");
  auto expect = [&](const std::string& yaml, const std::string& message) {
    const std::string errors = Errors(model + yaml + "}}]");
    EXPECT_NE(errors.find(message), std::string::npos) << yaml << "\n" << errors;
  };
  expect("segments: [{name: t}]",
         "of a model that is served here, give header, as x-tenant, or input");
  expect("segments: [{name: t, header: a, input: b}]", "give either header, as x-tenant, or input");
  expect("segments: [{name: t, input: b, cuts: [2, 1]}]", "cuts: must ascend");
  expect("segments: [{name: t, header: b, cuts: [2]}]", "cuts: are not of a header");
  expect("segments: [{name: t, header: b, index: 2}]", "index: is of an input");
  expect("segments: [{name: 'a=b', header: b}]", "must be 1 to 40 letters, digits, - and _");
  expect("segments: [{name: t, header: a}, {name: t, header: b}]", "two have the name t");
  expect("objectives: {quality: [{measure: recall, at_least: 80%}]}", "class: say of which class");
  expect("objectives: {quality: [{measure: f1, class: a, at_most: 3}]}", "need at_least");
  expect("objectives: {quality: [{measure: mean_absolute_error, at_least: 80%}]}", "needs at_most");
}

TEST(ConfigTest, InputsAreDroppedByNameAndAlone) {
  const auto errors = [](const std::string& rule, const std::string& more = "") {
    return Errors(StrCat("monitor: {logs: [{path: a}], redact: [", rule, "]}\n", more));
  };
  EXPECT_EQ(errors("{field: input, inputs: [income, '[3]'], do: drop}"), "");
  EXPECT_NE(
      errors("{field: input, inputs: [income], do: truncate, length: 3}")
          .find("monitor.redact[0].do: inputs are numbers, of which nothing is kept: do: drop"),
      std::string::npos);
  EXPECT_NE(errors("{field: input, do: drop}").find("monitor.redact[0].inputs: field: input needs"),
            std::string::npos);
  EXPECT_NE(errors("{field: class, inputs: [income], do: drop}")
                .find("monitor.redact[0].inputs: is of field: input"),
            std::string::npos);
  EXPECT_NE(
      errors("{field: input, inputs: [income], do: drop}",
             "models: [{name: a, monitoring: {segments: [{name: i, input: income, cuts: [1]}]}}]")
          .find("models[0].monitoring.segments[0].input: monitor.redact[0] drops income"),
      std::string::npos);
  EXPECT_NE(
      errors(
          "{field: input, inputs: ['[3]'], do: drop}",
          "models: [{name: a, monitoring: {segments: [{name: i, input: x, index: 3, cuts: [1]}]}}]")
          .find("models[0].monitoring.segments[0].input: monitor.redact[0] drops x[3]"),
      std::string::npos);
}

TEST(ConfigTest, ReadsTheWholeFile) {
  Config config;
  std::vector<ConfigProblem> problems;
  ASSERT_TRUE(ParseConfig(kDemo, config, problems)) << FormatProblems("c", problems);
  EXPECT_EQ(config.server.address, "127.0.0.1");
  EXPECT_EQ(config.server.limits.max_body, 8u << 20);
  EXPECT_EQ(config.admin.port, 8502);
  EXPECT_EQ(config.lifecycle.poll_interval, 500ms);
  ASSERT_EQ(config.models.size(), 1u);
  const Config::Model& model = config.models[0];
  EXPECT_EQ(model.model.name, "digits");
  EXPECT_EQ(model.model.policy.kind, VersionPolicy::Kind::kLatest);
  EXPECT_EQ(model.model.policy.latest, 2);
  EXPECT_EQ(model.model.labels.at("stable"), 1);
  EXPECT_EQ(model.monitoring.window, 2s);
  ASSERT_TRUE(model.rollout);
  EXPECT_EQ(model.rollout->steps.size(), 2u);
  EXPECT_DOUBLE_EQ(model.rollout->steps[0].weight, 0.1);
  EXPECT_EQ(model.rollout->steps[0].min_requests, 200);
  ASSERT_EQ(model.rollout->gates.size(), 3u);
  EXPECT_EQ(model.rollout->gates[2].kind, RolloutGate::Kind::kQuality);
  EXPECT_DOUBLE_EQ(model.rollout->gates[1].quantiles[1], 0.999);
}

TEST(ConfigTest, EffectiveConfigurationReadsBackTheSame) {
  for (const char* yaml :
       {kDemo, "", "models: [{name: a, path: b, versions: {all: true}}]",
        "models: [{name: a, path: b, versions: {specific: [3, 1]}, rollout: {}}]",
        "models: [{name: a, path: b, rollout: {gates: [{kind: loss, metric: squared_error, "
        "highest: "
        "2500, good_enough: 4}]}}]",
        "models: [{name: a, path: b, rollout: {strategy: blue_green, gates: [{kind: latency, max: "
        "1%, slower_than: 1s}, {kind: promql, address: 'http://p', query: up, min: -1, interval: "
        "5s}, {kind: webhook, url: 'http://w', when: before_switch}], freeze: [{days: [fri], from: "
        "'16:00'}], blue_green: {min_requests: "
        "100}}}]"}) {
    Config config, again;
    std::vector<ConfigProblem> problems;
    ASSERT_TRUE(ParseConfig(yaml, config, problems)) << FormatProblems("c", problems);
    std::string json = ConfigToJson(config);
    ASSERT_TRUE(ParseConfig(json, again, problems)) << FormatProblems("c", problems) << json;
    EXPECT_EQ(ConfigToJson(again), json);
  }
}

TEST(ConfigTest, IsShownWithoutTheQueryOfAPath) {
  Config config;
  std::vector<ConfigProblem> problems;
  const char* yaml =
      "models: [{name: a, path: \"https://host/a-1.zip?sig=hush\"}, {name: b, path: \"b?#\"}]";
  ASSERT_TRUE(ParseConfig(yaml, config, problems)) << FormatProblems("c", problems);
  Config shown;
  ASSERT_TRUE(ParseConfig(ShownConfigJson(config), shown, problems));
  EXPECT_EQ(shown.models[0].model.path, "https://host/a-1.zip");
  EXPECT_EQ(shown.models[1].model.path, "b?#");
  EXPECT_EQ(config.models[0].model.path, "https://host/a-1.zip?sig=hush");
}

TEST(ConfigTest, IsShownWithoutWhatMayBeASecretInAUrl) {
  Config config;
  std::vector<ConfigProblem> problems;
  const char* yaml =
      "models: [{name: a, path: b}]\n"
      "telemetry: {tracing: {otlp_url: \"http://o/v1/traces?token=hush\",\n"
      "                      zipkin_url: \"http://z/api/v2/spans?key=hush\"}}\n"
      "alarms: {external_url: \"https://me:hush@admin\",\n"
      "         alertmanagers: [{url: \"http://am?token=hush\"}],\n"
      "         webhooks: [{url: \"http://hook/services/hush?x=hush\"}]}\n";
  ASSERT_TRUE(ParseConfig(yaml, config, problems)) << FormatProblems("c", problems);
  const std::string shown = ShownConfigJson(config);
  EXPECT_EQ(shown.find("hush"), std::string::npos) << shown;
  EXPECT_NE(shown.find("http://o/v1/traces"), std::string::npos) << shown;
}

TEST(ConfigTest, FilesOfSendersThatCannotBeReadAreNamedByTheirFields) {
  Config config;
  std::vector<ConfigProblem> problems;
  const char* yaml =
      "models: [{name: a, path: b}]\n"
      "telemetry: {tracing: {otlp_url: \"http://o/v1/traces\", headers_file: /no/h, ca_file: "
      "/no/c}}\n"
      "alarms:\n"
      "  alertmanagers: [{url: \"https://am\", token_file: /no/t, tls: {ca_file: /no/c}}]\n"
      "  webhooks: [{url: \"http://w\"}, {url: \"http://hook\", secret_file: /no/s}]\n"
      "  emails: [{server: mail, from: a@b.c, to: [d@e.f], username: u, password_file: /no/p}]\n";
  ASSERT_TRUE(ParseConfig(yaml, config, problems)) << FormatProblems("c", problems);
  const Status status = CheckNamedFiles(config);
  for (const char* field :
       {"telemetry.tracing.headers_file: ", "telemetry.tracing.ca_file: ",
        "alarms.alertmanagers[0].token_file: ", "alarms.alertmanagers[0].tls.ca_file: ",
        "alarms.webhooks[1].secret_file: ", "alarms.emails[0].password_file: "})
    EXPECT_NE(status.message().find(field), std::string_view::npos) << field << status;
}

TEST(ConfigTest, AMailServerIsNotSentWhatCouldBeAnotherCommand) {
  for (const char* email :
       {"{server: mail, from: \"a@b.c\\r\\nRCPT TO:<x@y.z>\", to: [d@e.f]}",
        "{server: mail, from: a@b.c, to: [\"d@e.f> x\"]}", "{server: mail, from: a@b.c, to: []}",
        "{server: \"mail/x\", from: a@b.c, to: [d@e.f]}",
        "{server: mail, from: a@b.c, to: [d@e.f], tls: none, username: u, password_file: p}",
        "{server: mail, from: a@b.c, to: [d@e.f], username: u}"}) {
    Config config;
    std::vector<ConfigProblem> problems;
    const std::string yaml =
        StrCat("models: [{name: a, path: b}]\nalarms: {emails: [", email, "]}\n");
    EXPECT_FALSE(ParseConfig(yaml, config, problems)) << email;
  }
}

TEST(ConfigTest, ARolloutWithoutGatesGetsErrorsAndLatency) {
  Config config;
  std::vector<ConfigProblem> problems;
  ASSERT_TRUE(ParseConfig("models: [{name: a, path: b, rollout: {alpha: 2%}}, {name: c, path: d}]",
                          config, problems));
  ASSERT_TRUE(config.models[0].rollout);
  ASSERT_EQ(config.models[0].rollout->gates.size(), 2u);
  EXPECT_EQ(config.models[0].rollout->gates[1].kind, RolloutGate::Kind::kLatency);
  EXPECT_FALSE(config.models[1].rollout);
}

TEST(ConfigTest, TellsEverythingThatIsWrongWithOneFileAtOnce) {
  EXPECT_EQ(
      Errors("server: {port: 70000, adress: 127.0.0.1}\n"
             "admin: {address: localhost}\n"
             "models:\n"
             "  - name: my model\n"
             "    path: ''\n"
             "    versions: {latest: 1, all: true}\n"
             "    execution: inlined\n"
             "    rollout:\n"
             "      steps: [{weight: 0}, {weight: 50%}]\n"
             "      alpha: 2\n"
             "      gates: [{kind: error, margin: 1}]\n"
             "log: {level: loud}\n"),
      "c.yaml:1:16: server.port: must be 0 to 65535, not 70000\n"
      "c.yaml:1:23: server.adress: unknown key; did you mean address?\n"
      "c.yaml:2:18: admin.address: must be an IPv4 or IPv6 address like 127.0.0.1, 0.0.0.0 or ::\n"
      "c.yaml:4:11: models[0].name: may contain letters, digits and _ - . only, no spaces\n"
      "c.yaml:5:11: models[0].path: must not be empty\n"
      "c.yaml:6:15: models[0].versions: give only one of latest, all and specific\n"
      "c.yaml:7:16: models[0].execution: must be one of auto, inline and pool, not \"inlined\"; "
      "did you mean inline?\n"
      "c.yaml:9:24: models[0].rollout.steps[0].weight: must be above 0, unless the step has a "
      "mirror\n"
      "c.yaml:10:14: models[0].rollout.alpha: must be above 0 and at most 0.5, not 2; did you mean "
      "2%?\n"
      "c.yaml:11:22: models[0].rollout.gates[0].kind: must be one of errors, latency, quality, "
      "loss, answers, promql and webhook, not \"error\"; "
      "did you mean errors?\n"
      "c.yaml:11:37: models[0].rollout.gates[0].margin: must be above 1 and at most 1000, not 1\n"
      "c.yaml:12:14: log.level: must be one of debug, info, warn and error, not \"loud\"");
}

TEST(ConfigTest, ChecksThatFieldsAgree) {
  EXPECT_EQ(Errors("server: {port: 9000}\nadmin: {port: 9000}\n"
                   "models:\n  - {name: a, path: b}\n  - {name: a, path: c}\n"
                   "plain: {model: aa}\n"),
            "c.yaml:2:15: admin.port: must differ from server.port (9000)\n"
            "c.yaml:5:12: models[1].name: models[0] has the name a already\n"
            "c.yaml:6:16: plain.model: there is no model aa; did you mean a?");
  EXPECT_EQ(Errors("models:\n- name: a\n  path: b\n  monitoring: {enabled: false}\n  swap: "
                   "resource_preserving\n"
                   "  rollout:\n    gates: [{kind: quality}]\n"),
            "c.yaml:5:9: models[0].swap: resource_preserving never has two versions in memory, a "
            "rollout needs two: remove one of "
            "them\n"
            "c.yaml:7:5: models[0].rollout: a rollout is judged by what the monitor counts: set "
            "monitoring.enabled: true\n"
            "c.yaml:7:20: models[0].rollout.gates[0].kind: the quality gate needs labels: set "
            "monitoring.enabled: true");
  EXPECT_EQ(
      Errors("models:\n- name: a\n  path: b\n  monitoring: {task: regression}\n"
             "  rollout:\n    gates: [{kind: quality}]\n"),
      "c.yaml:6:20: models[0].rollout.gates[0].kind: the quality gate counts predictions that "
      "are wrong, and by monitoring.task: regression none is right or wrong: use kind: loss, "
      "which compares how far off they are, or leave it out");
  EXPECT_EQ(
      Errors("models:\n- name: a\n  path: b\n  rollout:\n    max_duration: 10s\n    steps:\n"
             "    - {weight: 50%, duration: 5s}\n    - {weight: 10%, duration: 6s}\n"
             "    gates: [{kind: errors}, {kind: errors}]\n"),
      "c.yaml:5:19: models[0].rollout.max_duration: must be longer than the steps together (11s)\n"
      "c.yaml:8:16: models[0].rollout.steps[1].weight: must be greater than the step before it "
      "(0.5): the candidate's "
      "share only grows\n"
      "c.yaml:9:36: models[0].rollout.gates[1].kind: there is already a gate of this kind");
  EXPECT_EQ(Errors("models: [{name: a, path: b, versions: {specific: [1]}, labels: {canary: 2}}]"),
            "c.yaml:1:73: models[0].labels.canary: version 2 is not among versions.specific");
}

TEST(ConfigTest, BlueGreenSaysWhatItCannotJudgeBy) {
  auto rollout = [](const std::string& text) {
    return Errors("models:\n- name: a\n  path: b\n  rollout:\n" + text);
  };
  EXPECT_EQ(rollout("    strategy: blue_green\n    gates: [{kind: errors, max: 2%}]\n"
                    "    blue_green: {preview_duration: 1m, auto_promote: false}\n"),
            "");
  EXPECT_EQ(rollout("    strategy: blue_green\n    gates: []\n"), "");
  EXPECT_EQ(rollout("    strategy: blue_green\n    steps: [{weight: 10%}]\n"
                    "    gates: [{kind: errors}, {kind: quality, max: 5%}]\n"),
            "c.yaml:6:12: models[0].rollout.steps: blue/green has none: all traffic is switched at "
            "once; see blue_green\n"
            "c.yaml:7:20: models[0].rollout.gates[0].kind: compares with the stable version, which "
            "has no traffic while the candidate has it all: give a max, or use strategy: canary");
  EXPECT_NE(rollout("    strategy: blue_green\n").find("models[0].rollout.gates: blue/green needs"),
            std::string::npos);
  EXPECT_EQ(rollout("    strategy: blue_green\n    gates: []\n    max_duration: 10s\n"
                    "    blue_green: {preview_duration: 6s, watch_duration: 4s}\n"),
            "c.yaml:7:19: models[0].rollout.max_duration: must be longer than preview_duration and "
            "watch_duration together (10s)");
  EXPECT_EQ(rollout("    gates: []\n    blue_green: {}\n"),
            "c.yaml:5:12: models[0].rollout.gates: must have at least one: what decides\n"
            "c.yaml:6:17: models[0].rollout.blue_green: belongs to strategy: blue_green");
  EXPECT_EQ(rollout("    gates: [{kind: latency, max: 1%}, {kind: errors, slower_than: 1s}]\n"),
            "c.yaml:5:13: models[0].rollout.gates[0].slower_than: max needs it: which answers are "
            "slow, as 200ms\n"
            "c.yaml:5:67: models[0].rollout.gates[1].slower_than: belongs to a latency gate with "
            "max");
}

TEST(ConfigTest, ARolloutBySegmentNeedsSegmentsAndGatesThatLookAtThem) {
  auto rollout = [](const std::string& text, const std::string& segments) {
    return Errors("models:\n- name: a\n  path: b\n" + segments + "  rollout:\n" + text);
  };
  const std::string tenants = "  monitoring: {segments: [{name: tenant, header: x-tenant}]}\n";
  EXPECT_EQ(rollout("    segments: {by: [tenant], max: 5, on_harm: hold}\n", tenants), "");
  EXPECT_EQ(rollout("    segments: {}\n", ""),
            "c.yaml:5:15: models[0].rollout.segments: nothing tells requests apart: give "
            "monitoring.segments, or leave it out");
  EXPECT_EQ(rollout("    segments: {by: [tenant, region]}\n", tenants),
            "c.yaml:6:29: models[0].rollout.segments.by[1]: must be a name of "
            "monitoring.segments; there is no region");
  EXPECT_EQ(rollout("    segments: {max: 0}\n", tenants),
            "c.yaml:6:21: models[0].rollout.segments.max: must be 1 to 200, not 0");
  EXPECT_EQ(rollout("    segments: {}\n    gates: [{kind: latency}]\n", tenants),
            "c.yaml:6:15: models[0].rollout.segments: needs a gate that looks at them: errors or "
            "quality");
}

TEST(ConfigTest, AGateOfLossesHasAHighestInTheMetricsUnits) {
  auto errors = [](const std::string& gate, const std::string& task = "auto",
                   const std::string& more = "") {
    return Errors(StrCat("models: [{name: a, path: b, monitoring: {task: ", task,
                         "}, rollout: {gates: [", gate, "]", more, "}}]"));
  };
  EXPECT_EQ(errors("{kind: loss, metric: absolute_error, highest: 50, good_enough: 2}"), "");
  EXPECT_EQ(errors("{kind: loss, highest: 50, max: 8}", "regression"), "");
  EXPECT_EQ(errors("{kind: loss, metric: brier, weight: 2}"), "");
  for (const auto& [gate, part] : {
           std::pair("{kind: loss}", "gates[0].highest: is missing: the largest absolute error"),
           {"{kind: loss, metric: brier, highest: 2}", "gates[0].highest: must be at most 1"},
           {"{kind: loss, highest: 5, good_enough: 5}", "good_enough: must be below highest (5)"},
           {"{kind: loss, highest: 5, max: 6}", "max: must be above 0 and below highest (5)"},
           {"{kind: loss, highest: 5, floor: 5%}", "floor: is of rates: give good_enough"},
           {"{kind: loss, metric: mae, highest: 5}", "gates[0].metric: "},
           {"{kind: errors, highest: 5}", "highest: belongs to gates of the kind loss"},
           {"{kind: webhook, url: 'http://w', good_enough: 5}",
            "good_enough: belongs to gates of the kind loss"},
           {"{kind: loss, highest: 5}, {kind: loss, highest: 6}",
            "gates[1].kind: there is already a gate of this kind"},
       })
    EXPECT_NE(errors(gate).find(part), std::string::npos) << part << "\n" << errors(gate);
  const std::string sure = errors("{kind: loss, metric: log_loss, highest: 5}", "regression");
  EXPECT_NE(sure.find("rollout.gates[0].metric: is of probabilities"), std::string::npos) << sure;
  const std::string wrong = errors("{kind: quality}", "regression");
  EXPECT_NE(wrong.find("use kind: loss"), std::string::npos) << wrong;
  const std::string compares = errors("{kind: loss, highest: 5}", "auto", ", strategy: blue_green");
  EXPECT_NE(compares.find("gates[0].kind: compares with the stable version"), std::string::npos)
      << compares;
  EXPECT_EQ(errors("{kind: loss, highest: 5, max: 1}", "auto", ", strategy: blue_green"), "");
}

TEST(ConfigTest, RolloutsThatMirrorNeedAGatewayAndGatesThatCopiesCanJudge) {
  const std::string gateway =
      "gateway:\n  listeners: [{port: 0}]\n  services:\n  - name: a\n    protocol: http1\n"
      "    versions: [{version: 1, endpoints: ['h:1']}, {version: 2, endpoints: ['h:2']}]\n"
      "models:\n- name: a\n  rollout:\n";
  auto rollout = [&](const std::string& text) { return Errors(gateway + text); };
  EXPECT_EQ(rollout("    strategy: shadow\n    shadow: {mirror: 10%, auto_promote: false}\n"
                    "    gates: [{kind: answers, max: 1%}, {kind: quality}]\n"),
            "");
  EXPECT_EQ(
      rollout("    steps: [{weight: 0, mirror: 1%}, {weight: 0, mirror: 100%}, {weight: 10%}]\n"
              "    gates: [{kind: answers, max: 1%, only_classes: true}, {kind: errors}]\n"),
      "");
  EXPECT_NE(rollout("    strategy: shadow\n    gates: [{kind: loss, metric: brier}]\n")
                .find("rollout.gates[0].kind: cannot be judged by copies"),
            std::string::npos);
  const std::string wrong = rollout(
      "    steps: [{weight: 0}, {weight: 0, mirror: 10%}, {weight: 0, mirror: 5%}, {weight: 10%, "
      "mirror: 10%}, {weight: 0, mirror: 20%}]\n    shadow: {}\n"
      "    gates: [{kind: answers}, {kind: errors, only_classes: true}]\n");
  for (const char* part :
       {"steps[0].weight: must be above 0, unless the step has a mirror",
        "steps[2].mirror: must be greater than that of the step before it (0.1)",
        "steps[3].mirror: goes with a weight of 0", "steps[4].mirror: must come before the steps",
        "shadow: belongs to strategy: shadow", "gates[0].max: is missing",
        "gates[1].only_classes: belongs to gates of the kind answers"})
    EXPECT_NE(wrong.find(part), std::string::npos) << part << "\n" << wrong;
  EXPECT_NE(rollout("    strategy: shadow\n    steps: [{weight: 10%}]\n    max_duration: 1m\n"
                    "    gates: [{kind: quality, max: 1%}]\n")
                .find("rollout.gates[0].max: cannot be judged by copies"),
            std::string::npos);
  EXPECT_NE(rollout("    gates: [{kind: answers, max: 1%}]\n").find("compares answers to copies"),
            std::string::npos);
  EXPECT_NE(Errors("models: [{name: a, path: b, rollout: {strategy: shadow}}]")
                .find("models[0].rollout.strategy: needs a gateway"),
            std::string::npos);
  std::string grpc = gateway;
  grpc.replace(grpc.find("http1"), 5, "grpc ");
  EXPECT_EQ(Errors(grpc + "    strategy: shadow\n"), "");
}

TEST(ConfigTest, RollingSaysWhatItCannotDo) {
  auto rollout = [](const std::string& text) {
    return Errors("models:\n- name: a\n  path: b\n  rollout:\n    strategy: rolling\n" + text);
  };
  EXPECT_EQ(rollout("    rolling: {batches: 4, duration: 1m, max_unavailable: 25%}\n"), "");
  const std::string wrong = rollout(
      "    rolling: {batches: 1, duration: 1m}\n    steps: [{weight: 10%}]\n    max_duration: "
      "2m\n");
  for (const char* part : {"rolling.batches: must be at least 2", "steps: rolling has none",
                           "max_duration: must be longer than the batches together (2m)"})
    EXPECT_NE(wrong.find(part), std::string::npos) << part << "\n" << wrong;
}

TEST(ConfigTest, AnAbTestHasOneShareAndTime) {
  auto rollout = [](const std::string& text) {
    return Errors("models:\n- name: a\n  path: b\n  rollout:\n    strategy: ab\n" + text);
  };
  EXPECT_EQ(
      rollout(
          "    ab: {weight: 50%, duration: 3d, on_end: promote_winner}\n    max_duration: 4d\n"),
      "");
  const std::string wrong = rollout("    ab: {duration: 3d}\n    steps: [{weight: 10%}]\n");
  for (const char* part :
       {"steps: an A/B test has none", "max_duration: must be longer than ab.duration"})
    EXPECT_NE(wrong.find(part), std::string::npos) << part << "\n" << wrong;
  EXPECT_NE(Errors("models: [{name: a, path: b, rollout: {ab: {}}}]")
                .find("rollout.ab: belongs to strategy: ab"),
            std::string::npos);
}

TEST(ConfigTest, FreezesAreTimesOfTheWeek) {
  auto rollout = [](const std::string& text) {
    return Errors("models: [{name: a, path: b, rollout: {freeze: " + text + "}}]");
  };
  EXPECT_EQ(rollout("[{days: [sat, sun]}, {from: '22:00', to: '06:00'}]"), "");
  const std::string wrong = rollout("[{days: [Monday], from: '25:00'}, {to: 'noon'}]");
  for (const char* part : {"freeze[0].days[0]: must be one of mon",
                           "freeze[0].from: must be a time", "freeze[1].to: must be a time"})
    EXPECT_NE(wrong.find(std::string("models[0].rollout.") + part), std::string::npos) << wrong;
  EXPECT_EQ(wrong.find("leaves no time"), std::string::npos) << wrong;
  EXPECT_NE(rollout("[{}]").find("rollout.freeze: leaves no time"), std::string::npos);
}

TEST(ConfigTest, GatesOutsideNameAllThatTheyLack) {
  auto gates = [](const std::string& text) {
    return Errors("models:\n- name: a\n  path: b\n  rollout:\n    gates:\n" + text);
  };
  const std::string at = "models[0].rollout.gates[0]";
  EXPECT_EQ(gates("    - kind: promql\n      name: p99\n      address: http://prometheus:9090\n"
                  "      query: 'p99{v=\"{{candidate}}\"}'\n      max: 300\n"
                  "      token_file: /etc/token\n"
                  "    - {kind: webhook, url: 'https://ci/gate', failures: 2}\n"),
            "");
  const std::string promql = gates("    - {kind: promql, url: 'http://x', slower_than: 1s}\n");
  for (const char* part : {"address: is missing", "query: is missing", "max: is missing",
                           "url: belongs to gates of the kind webhook", "slower_than: belongs to"})
    EXPECT_NE(promql.find(at + "." + part), std::string::npos) << part << "\n" << promql;
  const std::string webhook =
      gates("    - {kind: webhook, address: 'nowhere', max: 1, username: u, cert_file: c}\n");
  for (const char* part :
       {"url: is missing", "address: belongs to gates of the kind promql",
        "max: belongs to gates of the kind errors", "password_file: ", "key_file: "})
    EXPECT_NE(webhook.find(at + "." + part), std::string::npos) << part << "\n" << webhook;
  const std::string counting = gates("    - {kind: errors, name: x, interval: 1s, max: 5}\n");
  for (const char* part : {"name: belongs to gates of the kind promql or webhook",
                           "interval: belongs to", "max: must be above 0 and below 1"})
    EXPECT_NE(counting.find(at + "." + part), std::string::npos) << part << "\n" << counting;
  const std::string wrong = gates(
      "    - {kind: promql, address: prometheus, query: 'up{{version}}', max: 1, min: 2}\n"
      "    - {kind: webhook, url: http://a, when: after_switch}\n"
      "    - {kind: webhook, url: http://a}\n");
  for (const char* part :
       {"gates[0].address: ", "gates[0].query: there is no {{version}}",
        "gates[0].min: must not be above max", "gates[1].when: belongs to strategy: blue_green",
        "gates[2].kind: there is already a gate of this kind: give this one"})
    EXPECT_NE(wrong.find(std::string("models[0].rollout.") + part), std::string::npos)
        << part << "\n"
        << wrong;
}

TEST(ConfigTest, ChecksThatFieldsAgreeBesideFieldsThatAreWrong) {
  EXPECT_EQ(Errors("server: {port: 8502}\n"
                   "models:\n  - {name: a, path: b}\n  - {name: a, path: ''}\n"
                   "  - name: c\n    path: d\n    rollout:\n"
                   "      alpha: 2\n"
                   "      steps: [{weight: 50%}, {weight: 10%}]\n"
                   "plain: {model: d, input_field: prediction}\n"
                   "log: {level: loud}\n"),
            "c.yaml:1:16: server.port: must differ from admin.port (8502, its default)\n"
            "c.yaml:4:12: models[1].name: models[0] has the name a already\n"
            "c.yaml:4:21: models[1].path: must not be empty\n"
            "c.yaml:8:14: models[2].rollout.alpha: must be above 0 and at most 0.5, not 2; did "
            "you mean 2%?\n"
            "c.yaml:9:39: models[2].rollout.steps[1].weight: must be greater than the step before "
            "it (0.5): the candidate's share only grows\n"
            "c.yaml:10:16: plain.model: there is no model d; did you mean a?\n"
            "c.yaml:10:32: plain.input_field: must differ from plain.output_field (prediction, "
            "its default)\n"
            "c.yaml:11:14: log.level: must be one of debug, info, warn and error, not \"loud\"");
}

TEST(ConfigTest, AFieldThatCannotBeReadIsNotComparedWithOthers) {
  EXPECT_EQ(Errors("server: {port: x}\nadmin: {port: 8501}\n"
                   "models:\n  - {name: a b, path: c}\n  - {path: c}\n"
                   "  - {name: d, path: e, versions: {specific: [x, y]}, labels: {stable: 1}}\n"
                   "plain: {model: b}\n"),
            "c.yaml:1:16: server.port: must be a whole number, not \"x\"\n"
            "c.yaml:4:12: models[0].name: may contain letters, digits and _ - . only, no spaces\n"
            "c.yaml:5:5: models[1]: needs name: The model's name in URLs and metrics.\n"
            "c.yaml:6:46: models[2].versions.specific[0]: must be a whole number, not \"x\"\n"
            "c.yaml:6:49: models[2].versions.specific[1]: must be a whole number, not \"y\"");
}

TEST(ConfigTest, AConfigurationWithoutModelsHasNothingToServeUnlessFlagsNameSome) {
  Config config;
  std::vector<ConfigProblem> problems;
  ASSERT_TRUE(ParseConfig("", config, problems));
  EXPECT_TRUE(CheckHasModels(config).message().starts_with("nothing to serve: models is empty"));
  ASSERT_TRUE(ApplyOverrides({.models = {"a=b"}}, config).ok());
  EXPECT_TRUE(CheckHasModels(config).ok());
}

TEST(ConfigTest, PathsAreRelativeToTheFile) {
  TempDir dir;
  std::ofstream(dir.file("leadsman.yaml"))
      << "data_dir: data\nplugins: {dirs: [/opt/p]}\nmodels: [{name: a, path: ./r/a}]\n";
  auto config = LoadConfigFile(dir.file("leadsman.yaml"));
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->data_dir, dir.file("data"));
  EXPECT_EQ(config->models[0].model.path, dir.file("r/a"));
  EXPECT_EQ(config->plugins.dirs[0], "/opt/p");
}

TEST(ConfigTest, MissingAndUnreadableFilesAreNamed) {
  TempDir dir;
  auto code = [](const std::string& path) { return LoadConfigFile(path).status().code(); };
  EXPECT_EQ(code(dir.file("x.yaml")), StatusCode::kNotFound);
  EXPECT_EQ(code(dir.path().string()), StatusCode::kFailedPrecondition);
  std::ofstream(dir.file("long.yaml")) << std::string(2 << 20, '#');
  EXPECT_EQ(code(dir.file("long.yaml")), StatusCode::kResourceExhausted);
}

TEST(ConfigTest, FlagsWinOverTheFile) {
  TempDir dir;
  Config config = ConfigSchema().initial();
  ConfigOverrides flags;
  flags.port = 9001;
  flags.admin_port = 9002;
  flags.grpc_port = 9003;
  flags.log_level = "debug";
  flags.models = {"mlp=/models/mlp"};
  flags.model_repository = dir.file("repo");
  ASSERT_TRUE(ApplyOverrides(flags, config).ok());
  EXPECT_EQ(config.repository.path, dir.file("repo"));
  EXPECT_EQ(config.server.port, 9001);
  EXPECT_EQ(config.server.grpc_port, 9003);
  EXPECT_EQ(config.log.level, LogLevel::kDebug);
  ASSERT_EQ(config.models.size(), 1u);
  EXPECT_EQ(config.models[0].model.path, "/models/mlp");
}

TEST(ConfigTest, BadFlagsAreNamed) {
  TempDir dir;
  std::filesystem::create_directories(dir.file("digits/1"));
  auto message = [](const ConfigOverrides& flags) {
    Config config = ConfigSchema().initial();
    return std::string(ApplyOverrides(flags, config).message());
  };
  EXPECT_EQ(message({.models = {"digits"}}), "--model: must be NAME=PATH, not digits");
  EXPECT_EQ(message({.models = {"a=b", "a=c"}}),
            "models[1].name: models[0] has the name a already");
  EXPECT_EQ(
      message({.log_level = "inffo"}),
      "--log-level: must be one of debug, info, warn and error, not \"inffo\"; did you mean info?");
  EXPECT_EQ(message({.port = 8502}), "admin.port: must differ from server.port (8502)");
}

TEST(ConfigTest, JsonSchemaKnowsEveryKeyOfAFullFile) {
  auto schema = nlohmann::json::parse(ConfigJsonSchema());
  Config config;
  std::vector<ConfigProblem> problems;
  ASSERT_TRUE(ParseConfig(kDemo, config, problems));
  // Walks the effective configuration and the schema together.
  std::function<void(const nlohmann::json&, const nlohmann::json&, const std::string&)> walk =
      [&](const nlohmann::json& value, const nlohmann::json& type, const std::string& path) {
        if (type.contains("$ref")) {
          std::string name = type["$ref"].get<std::string>().substr(std::string("#/$defs/").size());
          ASSERT_TRUE(schema["$defs"].contains(name)) << path;
          return walk(value, schema["$defs"][name], path);
        }
        if (value.is_object() && type.contains("properties")) {
          for (const auto& [key, inner] : value.items()) {
            ASSERT_TRUE(type["properties"].contains(key)) << path << "." << key;
            walk(inner, type["properties"][key], path + "." + key);
          }
        } else if (value.is_array()) {
          ASSERT_TRUE(type.contains("items")) << path;
          for (const auto& item : value) walk(item, type["items"], path + "[]");
        }
      };
  walk(nlohmann::json::parse(ConfigToJson(config)), schema, "");
}

TEST(ConfigTest, CommittedReferenceIsTheGeneratedOne) {
  // After a change of a table: leadsman reference config > docs/reference/configuration.md, and
  // with --json-schema.
  std::string folder = SourceDir() + "/docs/reference/";
  EXPECT_EQ(FileText(folder + "configuration.md"), ConfigReferencePage());
  EXPECT_EQ(FileText(folder + "configuration.schema.json"), ConfigJsonSchema());
}

TEST(ConfigTest, TheVersionOfTheProgramIsThatOfTheProject) {
  std::string cmake = FileText(SourceDir() + "/CMakeLists.txt");
  EXPECT_NE(cmake.find(std::string("project(leadsman VERSION ") + kLeadsmanVersion + " "),
            std::string::npos);
}

Config Parsed(std::string_view yaml) {
  Config config;
  std::vector<ConfigProblem> problems;
  EXPECT_TRUE(ParseConfig(yaml, config, problems)) << FormatProblems("c", problems);
  return config;
}

TEST(ConfigTest, AWeightThatWouldBeNoTrafficIsRefused) {
  Config config;
  std::vector<ConfigProblem> problems;
  EXPECT_FALSE(ParseConfig("models: [{name: a, path: b, rollout: {steps: [{weight: 0.005%}]}}]",
                           config, problems));
  EXPECT_NE(FormatProblems("c", problems).find("steps[0].weight: must be at least 0.01%"),
            std::string::npos)
      << FormatProblems("c", problems);
}

TEST(ConfigTest, AModelThatIsNotMonitoredIsToldToTheMonitor) {
  Config config =
      Parsed("models: [{name: a, path: b, monitoring: {enabled: false}}, {name: c, path: d}]");
  EXPECT_FALSE(MonitoringOf(config).at("a").enabled) << "not left out: that would be the defaults";
  EXPECT_TRUE(MonitoringOf(config).at("c").enabled);
  config.models.pop_back();
  EXPECT_TRUE(MonitoringOf(config).empty());
}

TEST(LogSourcesTest, AreReadAndWrittenBack) {
  Config config = Parsed(R"(
monitor:
  history: 48h
  logs:
    - path: /var/log/nginx/*.log
      model: digits
      prediction_paths: [/score]
      integer_latency: us
      time_zone: "+05:30"
      from: beginning
    - {path: app.jsonl, fields: {predicted: out.label, feature.age: in.age}})");
  ASSERT_EQ(config.monitor.logs.size(), 2u);
  const intake::LogSource& first = config.monitor.logs[0];
  EXPECT_EQ(first.model, "digits");
  EXPECT_EQ(first.from, intake::LogSource::From::kBeginning);
  EXPECT_EQ(first.time_zone, 5h + 30min);
  EXPECT_EQ(config.monitor.options.history, 48h);
  EXPECT_EQ(Parsed(ConfigToJson(config)).monitor.logs, config.monitor.logs);
  EXPECT_TRUE(NeedsMonitor(config));
}

TEST(LogSourcesTest, ErrorsNameTheFieldAndTheFix) {
  auto error = [](const std::string& log) { return Errors("monitor: {logs: [" + log + "]}"); };
  EXPECT_NE(error("{}").find("needs path"), std::string::npos) << error("{}");
  for (const auto& [log, text] : std::vector<std::pair<std::string, std::string>>{
           {"{path: a, formt: json}", "monitor.logs[0].formt: unknown key; did you mean format?"},
           {"{path: a, format: jsn}",
            "logs[0].format: there is no format 'jsn'; did you mean json?"},
           {"{path: a, fields: {predictd: x}}",
            "no field is named 'predictd'; did you mean predicted?"},
           {"{path: a, fields: {segment.a b: x}}", "a segmentation's name is 1 to 40 letters"},
           {"{path: a, fields: {segment.a: x, segment.b: x, segment.c: x, segment.d: x, "
            "segment.e: x}}",
            "more than 4 are named segment."},
           {"{path: a, pattern: $status, format: json}",
            "logs[0].pattern: is of the format pattern"},
           {"{path: a, format: pattern}", "logs[0].format: needs a pattern"},
           {"{path: a, prediction_paths: [score]}", "must begin with /"},
           {"{path: a, time_zone: CET}", "must be UTC or an offset like +02:00"},
           {"{path: a}, {path: a}", "monitor.logs[1].path: monitor.logs[0] reads a already"}})
    EXPECT_NE(error(log).find(text), std::string::npos) << log << ": " << error(log);
}

TEST(LogSourcesTest, FlagsSayTheSameAsTheFile) {
  LogFlags flags;
  flags.logs = {"a.log", "b.log"};
  flags.model = "iris";
  flags.fields = {"predicted=out.label"};
  flags.from_beginning = true;
  Config config = ConfigSchema().initial();
  ASSERT_TRUE(ApplyLogFlags(flags, config).ok());
  ASSERT_EQ(config.monitor.logs.size(), 2u);
  EXPECT_EQ(config.monitor.logs,
            Parsed("monitor: {logs: [{path: a.log, model: iris, fields: {predicted: out.label}, "
                   "from: beginning}, {path: b.log, model: iris, fields: {predicted: out.label}, "
                   "from: beginning}]}")
                .monitor.logs);
  auto error = [](LogFlags wrong) {
    Config fresh = ConfigSchema().initial();
    return std::string(ApplyLogFlags(wrong, fresh).message());
  };
  EXPECT_EQ(error({}).substr(0, 40), "nothing to monitor: give --log PATH, --c");
  EXPECT_NE(error({.model = "x"}).find("need --log"), std::string::npos);
  EXPECT_EQ(error({.logs = {"a"}, .fields = {"x"}}),
            "--field: must be NAME=WHERE, as predicted=label, not x");
  EXPECT_EQ(error({.logs = {"a"}, .time_zone = "CET"}),
            "--time-zone: must be UTC or an offset like +02:00");
  EXPECT_EQ(error({.logs = {"a"}, .prediction_paths = {"x"}}).substr(0, 38),
            "--prediction-path: must begin with /, ");
}

TEST(LogSourcesTest, AProcessThatOnlyWatchesServesNothingAndKeepsHowModelsAreMonitored) {
  Config config = Parsed(
      "models: [{name: a, path: b, monitoring: {window: 7s}}]\nmonitor: {logs: [{path: a.log}]}");
  MakeMonitorOnly(config);
  EXPECT_TRUE(IsMonitorOnly(config));
  EXPECT_TRUE(config.models.empty());
  EXPECT_EQ(MonitoringOf(config).at("a").window, 7s);
}

TEST(LogSourcesTest, SegmentsThatALogSaysAreThoseOfItsModelUnlessThatIsConfigured) {
  auto names = [](const Config& config, const std::string& model) {
    std::string text;
    const auto monitoring = MonitoringOf(config);
    for (const SegmentRule& rule : monitoring.at(model).segments)
      text += StrCat(text.empty() ? "" : " ", rule.name);
    return text;
  };
  const std::string logs =
      "monitor: {logs: [{path: a.csv, model: credit, fields: {segment.tenant: t, segment.age: a}}, "
      "{path: b.log, pattern: '$status ${segment.zone}'}]}";
  EXPECT_EQ(names(Parsed(logs), "credit"), "age tenant");
  EXPECT_EQ(names(Parsed(logs), "default"), "zone");
  EXPECT_EQ(names(Parsed("models: [{name: credit, monitoring: {segments: [{name: tenant, values: "
                         "[acme]}]}}]\n" +
                         logs),
                  "credit"),
            "tenant");
}

TEST(LogSourcesTest, AModelWithoutAPathIsWatchedAndNotServed) {
  Config config = Parsed(
      "models: [{name: a, monitoring: {window: 7s}}, {name: b, path: b}]\n"
      "monitor: {logs: [{path: a.log}]}");
  WatchModelsWithoutPath(config);
  ASSERT_EQ(config.models.size(), 1u);
  EXPECT_EQ(config.models[0].model.name, "b");
  EXPECT_EQ(MonitoringOf(config).at("a").window, 7s);
  EXPECT_TRUE(CheckHasModels(config).ok());
  config.models.clear();
  EXPECT_NE(CheckHasModels(config).message().find("no model has a path"), std::string_view::npos);
}

constexpr const char* kGateway =
    "gateway:\n  listeners: [{port: 0}]\n"
    "  services: [{name: a, versions: [{version: 1, endpoints: ['h:1']}]}]\n";

TEST(GatewayConfigTest, APlanThatComesWithAStartIsHeldToWhatTheConfigurationWouldBe) {
  const char* kSticky =
      "gateway:\n  listeners: [{port: 0}]\n  services: [{name: a, split: {by: client}, versions: "
      "[{version: 1, endpoints: ['h:1']}]}]\n"
      "models: [{name: a, monitoring: {task: regression}}]\n";
  Config config = Parsed(kSticky);
  ASSERT_TRUE(MakeGateway(config).ok());
  RolloutPlan plan = DefaultRolloutPlan();
  EXPECT_EQ(FitGivenPlan(config, "a", plan)->sample_ratio_alpha, 0) << "users are drawn";
  EXPECT_EQ(FitGivenPlan(config, "b", plan).status().code(), StatusCode::kFailedPrecondition);
  auto refused = [&](const RolloutPlan& wrong) {
    return std::string(FitGivenPlan(config, "a", wrong).status().message());
  };
  RolloutPlan quality = plan;
  quality.gates = {{.kind = RolloutGate::Kind::kQuality}};
  EXPECT_TRUE(refused(quality).starts_with("plan.gates[0].kind: the quality gate counts"))
      << refused(quality);
  EXPECT_NE(refused(quality).find("use kind: loss"), std::string::npos) << refused(quality);
  RolloutPlan losses = plan;
  losses.gates = {{.kind = RolloutGate::Kind::kLoss}};
  losses.gates[0].loss.highest = 50;
  EXPECT_TRUE(FitGivenPlan(config, "a", losses).ok());
  losses.gates[0].loss.metric = LossMetric::kLogLoss;
  EXPECT_TRUE(refused(losses).starts_with("plan.gates[0].metric: is of probabilities"))
      << refused(losses);
  RolloutPlan files = plan;
  files.steps[1].approval = true;
  files.steps[1].approval.webhook.emplace().url = "http://h/x";
  files.steps[1].approval.webhook->secret_file = "/etc/key";
  EXPECT_TRUE(refused(files).starts_with("plan.steps[1].approval.webhook.secret_file: a plan that"))
      << refused(files);
  config.hot_restart.enabled = true;
  config.data_dir.clear();
  EXPECT_TRUE(refused(plan).starts_with("plan: with hot_restart a rollout needs a data_dir"))
      << refused(plan);
  // A server takes another plan for one rollout, no first one.
  Config served = Parsed("models: [{name: a, path: p, rollout: {}}, {name: b, path: q}]");
  EXPECT_TRUE(FitGivenPlan(served, "a", plan).ok());
  EXPECT_EQ(FitGivenPlan(served, "b", plan).status().code(), StatusCode::kFailedPrecondition);
  plan.steps[0].weight = 0;
  plan.steps[0].mirror = 0.5;
  const auto mirrors = FitGivenPlan(served, "a", plan);
  EXPECT_TRUE(std::string(mirrors.status().message()).starts_with("plan: needs a gateway"))
      << mirrors.status();
}

TEST(GatewayConfigTest, AProcessThatProxiesServesNothingAndKeepsPlansAndMonitoring) {
  Config config = Parsed(
      StrCat(kGateway, "models: [{name: a, monitoring: {window: 7s}, rollout: {alpha: 2%}}]\n"));
  ASSERT_TRUE(MakeGateway(config).ok());
  EXPECT_TRUE(IsMonitorOnly(config));
  EXPECT_TRUE(NeedsMonitor(config));
  EXPECT_EQ(config.gateway_plans.at("a").alpha, 0.02);
  EXPECT_EQ(MonitoringOf(config).at("a").window, 7s);
  EXPECT_EQ(config.gateway_plans.at("a").sample_ratio_alpha, 0.001);
  Config sticky = Parsed(
      "gateway:\n  listeners: [{port: 0}]\n  services: [{name: a, split: {by: client}, versions: "
      "[{version: 1, endpoints: ['h:1']}]}]\nmodels: [{name: a, rollout: {}}]\n");
  ASSERT_TRUE(MakeGateway(sticky).ok());
  EXPECT_EQ(sticky.gateway_plans.at("a").sample_ratio_alpha, 0)
      << "users are drawn there, not requests";
  Config none = Parsed("models: [{name: a, path: b}]");
  EXPECT_EQ(MakeGateway(none).message().substr(0, 16), "nothing to proxy");
  EXPECT_FALSE(none.run_gateway);
}

TEST(GatewayConfigTest, ARolloutIsOfAModelWithAPathOrOfAService) {
  EXPECT_EQ(Errors(StrCat(kGateway, "models: [{name: b, rollout: {alpha: 2%}}]")),
            "c.yaml:4:29: models[0].rollout: a model without a path is served elsewhere and only "
            "watched: give its path, make it a service of the gateway (gateway.services), or leave "
            "the rollout out");
  EXPECT_EQ(Errors(StrCat(kGateway, "models: [{name: a, rollout: {alpha: 2%}}]")), "");
  EXPECT_EQ(Errors("admin: {port: 9000}\ngateway:\n  listeners: [{port: 9000}]\n  services: "
                   "[{name: a, versions: [{version: 1, endpoints: ['h:1']}]}]"),
            "c.yaml:3:22: gateway.listeners[0].port: must differ from admin.port (9000)");
}

TEST(GatewayConfigTest, ARouteMapsWhatBodiesSay) {
  const std::string wrong =
      Errors(StrCat(kGateway,
                    "  routes: [{service: a, decode: {request: {predicted: y}, response: "
                    "{latency_ms: z}}}]\n"));
  EXPECT_NE(wrong.find("gateway.routes[0].decode.request: predicted is not read from a request's "
                       "body; there are: feature.NAME"),
            std::string::npos)
      << wrong;
  EXPECT_NE(wrong.find("gateway.routes[0].decode.response: latency_ms is not read from an answer's "
                       "body; there are: predicted, score"),
            std::string::npos)
      << wrong;
  Config config = Parsed(
      StrCat(kGateway,
             "  routes: [{service: a, decode: {request: {segment.tenant: t, feature.x: y}}}]\n"));
  ASSERT_TRUE(MakeGateway(config).ok());
  ASSERT_EQ(MonitoringOf(config).at("a").segments.size(), 1u);
  EXPECT_EQ(MonitoringOf(config).at("a").segments[0].name, "tenant");
}

TEST(GatewayConfigTest, AFileOfAGatewayAloneIsNotServed) {
  EXPECT_NE(CheckHasModels(Parsed(kGateway)).message().find("leadsman gateway"),
            std::string_view::npos);
}

TEST(ReloadTest, AGatewayTakesItsSectionAndPlansOverAndNamesTheRest) {
  Config running = Parsed(StrCat(kGateway, "models: [{name: a, rollout: {alpha: 2%}}]"));
  Config next = Parsed(
      "gateway:\n  listeners: [{port: 0}]\n"
      "  services: [{name: a, versions: [{version: 1, endpoints: ['h:2']}]}]\n"
      "models: [{name: a, rollout: {alpha: 3%}}]");
  Config watched = Parsed(
      "gateway:\n  listeners: [{port: 0}]\n"
      "  services: [{name: a, versions: [{version: 1, endpoints: ['h:1']}]}]\n"
      "  routes: [{service: a, decode: {request: {segment.tenant: t}}}]\n"
      "models: [{name: a, monitoring: {window: 7s}}]");
  ASSERT_TRUE(MakeGateway(running).ok());
  ASSERT_TRUE(MakeGateway(next).ok());
  ASSERT_TRUE(MakeGateway(watched).ok());
  ReloadedConfig reloaded = MergeReloaded(running, next, true, true);
  EXPECT_EQ(reloaded.needs_restart, std::vector<std::string>{});
  EXPECT_TRUE(reloaded.gateway_changed);
  EXPECT_EQ(reloaded.in_force.gateway_plans.at("a").alpha, 0.03);
  EXPECT_EQ(reloaded.in_force.gateway->services[0].versions[0].endpoints[0], "h:2");
  EXPECT_FALSE(MergeReloaded(running, running, true, true).gateway_changed);
  reloaded = MergeReloaded(running, next, true, false);
  EXPECT_EQ(reloaded.needs_restart, std::vector<std::string>{"rollout of model a"});
  EXPECT_TRUE(reloaded.in_force.gateway_plans.empty());
  reloaded = MergeReloaded(running, watched, true, true);
  EXPECT_EQ(reloaded.needs_restart, std::vector<std::string>{"monitoring of model a"});
  EXPECT_TRUE(CheckReloaded(reloaded).ok());
}

TEST(ReloadTest, WhatAGatewayCannotChangeIsRefusedWithTheRest) {
  Config running = Parsed(kGateway);
  Config next = Parsed(StrCat(kGateway, "  decode: {max_queue: 7, max_body: 1MiB}\n"));
  ASSERT_TRUE(MakeGateway(running).ok());
  ASSERT_TRUE(MakeGateway(next).ok());
  EXPECT_EQ(
      CheckReloaded(MergeReloaded(running, next, true, true)).message(),
      "gateway.decode.max_queue (4096 → 7) cannot change while the gateway runs: leave it as it "
      "was, or restart the gateway");
}

TEST(ReloadTest, SegmentsThatARouteSaysNeedARestart) {
  Config running = Parsed(kGateway);
  Config next = Parsed(
      StrCat(kGateway, "  routes: [{service: a, decode: {request: {segment.tenant: t}}}]\n"));
  ASSERT_TRUE(MakeGateway(running).ok());
  ASSERT_TRUE(MakeGateway(next).ok());
  EXPECT_EQ(MergeReloaded(running, next, true, true).needs_restart,
            std::vector<std::string>{"segments of service a"});
}

TEST(ReloadTest, HowAProcessIsReplacedNeedsARestart) {
  Config running, next;
  next.hot_restart.timeout = std::chrono::seconds(7);
  const ReloadedConfig reloaded = MergeReloaded(running, next, true, true);
  EXPECT_EQ(reloaded.needs_restart, std::vector<std::string>{"hot_restart"});
  EXPECT_EQ(reloaded.in_force.hot_restart.timeout, running.hot_restart.timeout);
}

TEST(ConfigTest, ProcessesThatReplaceEachOtherNeedAPlaceToMeet) {
  ConfigOverrides flags;
  flags.hot_restart = true;
  Config config;
  EXPECT_TRUE(ApplyOverrides(flags, config).ok());
  EXPECT_TRUE(config.hot_restart.enabled);
  flags.data_dir = "";
  const Status refused = ApplyOverrides(flags, config);
  EXPECT_EQ(refused.code(), StatusCode::kInvalidArgument);
  EXPECT_NE(refused.message().find("hot_restart.socket: without a data_dir"), std::string::npos)
      << refused;
  config.hot_restart.socket = "/run/leadsman.sock";
  EXPECT_TRUE(ApplyOverrides(flags, config).ok());
  config.alarms.webhooks.emplace_back().target.url = "http://127.0.0.1:9/";
  const Status both = ApplyOverrides(flags, config);
  EXPECT_NE(both.message().find("hot_restart.socket: alarms need a data_dir"), std::string::npos)
      << both;
}

TEST(ReloadTest, ModelsAndPlansAreTakenOverAndTheRestStaysAndIsNamed) {
  Config running = Parsed(R"(
server: {port: 9000}
models:
  - {name: digits, path: a}
)");
  Config next = Parsed(R"(
server: {port: 9001}
log: {level: debug}
models:
  - {name: digits, path: b, monitoring: {window: 30s, prediction_output: label}}
  - {name: iris, path: c, rollout: {}}
)");
  ReloadedConfig reloaded = MergeReloaded(running, next, true, false);
  EXPECT_EQ(
      reloaded.needs_restart,
      (std::vector<std::string>{"server", "monitoring of model digits", "rollout of model iris"}));
  const Config& now = reloaded.in_force;
  EXPECT_EQ(now.server.port, 9000);
  EXPECT_EQ(now.log.level, LogLevel::kDebug);
  ASSERT_EQ(now.models.size(), 2u);
  EXPECT_EQ(now.models[0].model.path, "b");
  EXPECT_EQ(now.models[0].monitoring.window, std::chrono::seconds(10));
  EXPECT_EQ(now.models[0].monitoring.prediction_output, "label");
  EXPECT_FALSE(now.models[1].rollout);

  reloaded = MergeReloaded(running, next, true, true);
  EXPECT_TRUE(reloaded.in_force.models[1].rollout);
  EXPECT_TRUE(MergeReloaded(running, running, true, true).needs_restart.empty());
}

TEST(ConfigTest, AReloadThatDoesNotFitWhatStaysIsRefused) {
  Config running = Parsed("plain: {model: iris}\nmodels:\n  - {name: iris, path: a}\n");
  Config next = Parsed("plain: {model: flower}\nmodels:\n  - {name: flower, path: a}\n");
  EXPECT_TRUE(CheckReloaded(MergeReloaded(running, running, true, true)).ok());
  Status refused = CheckReloaded(MergeReloaded(running, next, true, true));
  EXPECT_EQ(refused.code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(refused.message(),
            "plain.model: there is no model iris; models: flower. plain changes with a restart "
            "only, and does not fit the rest");
}

TEST(ConfigTest, FilesThatAreNamedAndAreNotThereAreFoundByACheck) {
  Config config = Parsed("models:\n  - {name: iris, path: a}\n");
  EXPECT_TRUE(CheckNamedFiles(config).ok());
  config.auth.tokens_file = "/nonexistent/tokens.yaml";
  config.backends.python.interpreter = "~/nonexistent/python";
  config.server.tls.cert_file = "/nonexistent/cert.pem";
  config.server.tls.key_file = "/nonexistent/key.pem";
  const Status wrong = CheckNamedFiles(config);
  EXPECT_EQ(wrong.code(), StatusCode::kInvalidArgument);
  EXPECT_NE(wrong.message().find("server.tls: "), std::string_view::npos) << wrong;
  EXPECT_NE(wrong.message().find("/nonexistent/cert.pem"), std::string_view::npos) << wrong;
  EXPECT_NE(wrong.message().find("\nauth.tokens_file: "), std::string_view::npos) << wrong;
  EXPECT_NE(wrong.message().find("/nonexistent/tokens.yaml"), std::string_view::npos) << wrong;
  EXPECT_NE(
      wrong.message().find("\nbackends.python.interpreter: ~/nonexistent/python cannot be run"),
      std::string_view::npos)
      << wrong;
  EXPECT_NE(wrong.message().find("write the whole path"), std::string_view::npos) << wrong;
}

TEST(ConfigTest, AnApprovalIsAPersonsWordOrAWebhooks) {
  const Config config = Parsed(
      "models:\n- name: a\n  path: b\n  rollout:\n    seed: 7\n    progress_deadline: 5m\n    "
      "steps:\n"
      "    - {weight: 10%, approval: true}\n    - {weight: 20%, approval: false}\n"
      "    - {weight: 50%, approval: {webhook: {url: https://ci.example.org/approve/s3cret, "
      "on_refusal: abort, deadline: 2h}}}\n"
      "    gates: [{kind: errors, weight: 3}, {kind: latency}]\n");
  const RolloutPlan& plan = *config.models[0].rollout;
  EXPECT_EQ(plan.seed, 7u);
  EXPECT_EQ(plan.progress_deadline, 5min);
  EXPECT_EQ(plan.gates[0].weight, 3);
  EXPECT_TRUE(plan.steps[0].approval.asked && !plan.steps[0].approval.webhook);
  EXPECT_FALSE(plan.steps[1].approval.asked);
  ASSERT_TRUE(plan.steps[2].approval.asked && plan.steps[2].approval.webhook);
  EXPECT_EQ(plan.steps[2].approval.webhook->deadline, 2h);
  EXPECT_EQ(plan.steps[2].approval.webhook->on_refusal, ApprovalWebhook::OnRefusal::kAbort);
  const std::string shown = ShownConfigJson(config);
  EXPECT_NE(shown.find(R"("url":"https://ci.example.org:443/…")"), std::string::npos) << shown;
  EXPECT_EQ(shown.find("s3cret"), std::string::npos);

  auto errors = [](const std::string& approval, const std::string& gate = "{kind: errors}") {
    return Errors(StrCat(
        "models:\n- name: a\n  path: b\n  rollout:\n    steps: [{weight: 10%, approval: ", approval,
        "}]\n    gates: [", gate, "]\n"));
  };
  EXPECT_EQ(errors("true"), "");
  EXPECT_NE(errors("{}").find("steps[0].approval.webhook: is missing: write approval: true"),
            std::string::npos)
      << errors("{}");
  EXPECT_NE(errors("{webhook: {}}").find("steps[0].approval.webhook: needs url"),
            std::string::npos);
  EXPECT_NE(errors("{webhook: {url: ftp://ci}}").find("steps[0].approval.webhook.url: "),
            std::string::npos);
  EXPECT_NE(errors("{webhook: {url: http://ci, cert_file: a}}").find("webhook.key_file: "),
            std::string::npos);
  EXPECT_NE(errors("maybe").find("steps[0].approval: "), std::string::npos) << errors("maybe");
  EXPECT_NE(errors("true", "{kind: errors, weight: 0}").find("gates[0].weight: must be above 0"),
            std::string::npos);
  EXPECT_NE(errors("true", "{kind: errors}, {kind: webhook, url: http://ci, weight: 2}")
                .find("gates[1].weight: belongs to gates of the kind errors, latency, quality, "
                      "loss or answers"),
            std::string::npos);
  EXPECT_NE(errors("true", "{kind: errors, allow_absent: true}")
                .find("gates[0].allow_absent: belongs to gates of the kind promql"),
            std::string::npos);
}

TEST(ConfigTest, AReferenceThatCannotBeReadIsFoundByACheck) {
  TempDir dir;
  ASSERT_TRUE(WriteFileAtomically(dir.file("train.csv"), "age,income\n1,2\n3,much\n").ok());
  const Config config =
      Parsed(StrCat("models:\n  - {name: iris, path: a, monitoring: "
                    "{reference: {from: file, path: ",
                    dir.file("train.csv"), "}}}\n"));
  EXPECT_EQ(CheckNamedFiles(config).message(),
            StrCat("monitoring.reference of model iris: ", dir.file("train.csv"),
                   ": line 3, column income: much is no number; the columns must be "
                   "the model's "
                   "numeric inputs, in their order"));
}

TEST(ConfigTest, AMisspeltGateIsNotTakenForASecondOneOfItsDefaultKind) {
  const std::string told = Errors(
      "models:\n  - name: m\n    path: p\n    rollout: {gates: [{kind: eror}, {kind: errors}]}\n");
  EXPECT_NE(told.find("gates[0].kind"), std::string::npos) << told;
  EXPECT_EQ(told.find("already a gate"), std::string::npos) << told;
}

TEST(ConfigTest, TlsFieldsGoTogether) {
  auto problem = [](const std::string& tls) {
    Config config;
    std::vector<ConfigProblem> problems;
    ParseConfig("models: [{name: m, path: /m}]\nserver:\n  tls: " + tls + "\n", config, problems);
    return problems.empty() ? std::string() : problems[0].path + ": " + problems[0].message;
  };
  EXPECT_EQ(problem("{cert_file: c, key_file: k}"), "");
  EXPECT_EQ(problem("{cert_file: c, key_file: k, client_ca_file: a, client_auth: optional}"), "");
  EXPECT_EQ(problem("{cert_file: c}"),
            "server.tls: cert_file and key_file go together: give both or none");
  EXPECT_EQ(problem("{client_ca_file: a, client_auth: required}"),
            "server.tls: clients' certificates need TLS: give cert_file and key_file");
  EXPECT_EQ(problem("{cert_file: c, key_file: k, client_auth: required}"),
            "server.tls: client_auth needs client_ca_file: who signs the clients' certificates");
  EXPECT_NE(problem("{cert_file: c, key_file: k, client_ca_file: a}"), "");
}

TEST(ConfigTest, TlsFlagsGoOverTheFile) {
  Config config;
  ConfigOverrides flags;
  flags.tls_cert = "c.pem";
  EXPECT_FALSE(ApplyOverrides(flags, config).ok());
  flags.tls_key = "k.pem";
  flags.tls_client_ca = "a.pem";
  config = Config();
  ASSERT_TRUE(ApplyOverrides(flags, config).ok());
  EXPECT_TRUE(config.server.tls.enabled());
  EXPECT_EQ(config.server.tls.client_auth, net::ClientAuth::kRequired);
  EXPECT_FALSE(config.admin.tls.enabled());
}

TEST(ConfigTest, AFormatThatNothingServesIsFoundByACheck) {
  TempDir dir;
  const std::string file = dir.Write("model.onnx", "weights");
  Config config = Parsed("models:\n  - {name: a, path: a, format: onnx}\n");
  EXPECT_EQ(CheckModels(config, {}), OkStatus());
  config.models[0].model.format = "linear";
  EXPECT_EQ(CheckModels(config, {"linear"}), OkStatus());
  config.models[0].model.format = "torch";
  config.models[0].model.path = file;
  const std::string wrong(CheckModels(config, {"linear"}).message());
  EXPECT_TRUE(wrong.starts_with(
      "models[0].format: nothing here serves \"torch\"; there are keras, lightgbm, linear, mlflow, "
      "onnx, python, sklearn, tensorflow and xgboost. "))
      << wrong;
  EXPECT_NE(wrong.find("\nmodels[0].path: " + file + " is a file"), std::string::npos) << wrong;
}

}  // namespace
}  // namespace leadsman
