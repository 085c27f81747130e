#include "rollout/config_schema.h"

#include <limits>
#include <memory>
#include <set>
#include <string_view>
#include <vector>

#include "base/strings.h"
#include "rollout/freeze.h"
#include "rollout/gate_state.h"
#include "rollout/outside_reader.h"

namespace leadsman {
namespace {

using std::chrono::milliseconds;
using namespace std::chrono_literals;  // NOLINT: literals
using Gate = RolloutGate;
using Plan = RolloutPlan;

const schema::Struct<ApprovalWebhook>& ApprovalWebhookSchema() {
  using Hook = ApprovalWebhook;
  static const auto table = [] {
    schema::Struct<Hook> s(
        "ApprovalWebhook",
        "Who is asked for the approval of a step: a post with the rollout, answered by 200 and "
        "{\"approved\": true} or false, with a reason. Without a decision it is asked again, with "
        "growing pauses.");
    s.Required("url", &Hook::url, schema::Text(), "Where the rollout is posted.");
    s.Field("secret_file", &Hook::secret_file, schema::Text(),
            "File with a secret that signs what is sent (X-Leadsman-Signature), as of alarms.");
    s.Field("timeout", &Hook::timeout, schema::Time<milliseconds>(10ms, 5min), "For one answer.");
    s.Field("retry_after", &Hook::retry_after, schema::Time<milliseconds>(100ms, 1h),
            "The pause before it is asked again; doubled each time, to a minute at most.");
    s.Field("deadline", &Hook::deadline, schema::Time<milliseconds>(1s, 24h * 30),
            "Without a decision by then the step waits for a person alone.");
    s.Field("on_refusal", &Hook::on_refusal,
            schema::Enum<Hook::OnRefusal>(
                {{"hold", Hook::OnRefusal::kHold}, {"abort", Hook::OnRefusal::kAbort}}),
            "hold: a person promotes or aborts it; abort: the candidate is taken back.");
    s.Field("ca_file", &Hook::ca_file, schema::Text(),
            "PEM: who signed the other's certificate; empty = the system's authorities.");
    s.Field("cert_file", &Hook::cert_file, schema::Text(),
            "PEM: a certificate to show, with its chain.");
    s.Field("key_file", &Hook::key_file, schema::Text(), "PEM: its key.");
    s.Field("token_file", &Hook::token_file, schema::Text(),
            "File with a bearer token; read again for each question, as all secrets.");
    s.Field("username", &Hook::username, schema::Text(), "Basic authentication.");
    s.Field("password_file", &Hook::password_file, schema::Text(), "File with its password.");
    s.Check([](const Hook& hook, schema::Problems& problems) {
      if (hook.url.empty() && problems.IsSound("url"))
        problems.Add("url", "is missing: where the rollout is posted");
      if (!hook.token_file.empty() && !hook.username.empty())
        problems.Add("username", "either token_file or username with password_file");
      if (hook.username.empty() != hook.password_file.empty())
        problems.Add("password_file", "username and password_file go together");
      if (hook.cert_file.empty() != hook.key_file.empty())
        problems.Add("key_file", "cert_file and key_file go together");
    });
    return s;
  }();
  return table;
}

const schema::Struct<StepApproval>& ApprovalSchema() {
  static const auto table = [] {
    schema::Struct<StepApproval> s("StepApproval", "Who approves a step, beside people.");
    s.Field("webhook", &StepApproval::webhook,
            schema::Optional(schema::Of(ApprovalWebhookSchema())),
            "Asked once the step lacks nothing else. A person may promote or abort all the same.");
    s.Check([](const StepApproval& approval, schema::Problems& problems) {
      if (!approval.webhook && problems.IsSound("webhook"))
        problems.Add("webhook", "is missing: write approval: true where people alone approve");
    });
    return s;
  }();
  return table;
}

/// true, false, or who is asked.
class ApprovalType final : public schema::Type<StepApproval> {
 public:
  std::string Name() const override { return "boolean or StepApproval"; }
  void AppendJsonSchema(std::string& out) const override {
    out += R"({"oneOf":[{"type":"boolean"},{"$ref":"#/$defs/StepApproval"}]})";
  }
  const schema::StructInfo* struct_info() const override { return &ApprovalSchema(); }
  void Read(const ConfigNode& node, StepApproval& out, schema::Reader& reader) const override {
    if (node.kind == ConfigNode::Kind::kMap) {
      out.asked = true;
      ApprovalSchema().Read(node, out, reader);
      return;
    }
    bool asked = out.asked;
    schema::Boolean()->Read(node, asked, reader);
    out = asked;
  }
  void Write(const StepApproval& value, std::string& json) const override {
    if (value.webhook) return ApprovalSchema().Write(value, json);
    json += value.asked ? "true" : "false";
  }
};

const schema::Struct<RolloutStep>& StepSchema() {
  static const auto table = [] {
    schema::Struct<RolloutStep> s(
        "RolloutStep",
        "One stage of a canary. It is left when its duration has passed, enough requests have "
        "reached the candidate, every gate has shown that the candidate is safe, and, with "
        "approval, a person has promoted it.");
    s.Required(
        "weight", &RolloutStep::weight, schema::Share(0, 1),
        "The candidate's share of the traffic, as 0.1 or 10%; routed in steps of 0.01%. 0 of "
        "a step that mirrors.");
    s.Field("mirror", &RolloutStep::mirror, schema::Share(0, 1),
            "Of models behind the gateway: instead of requests the candidate gets copies of this "
            "share of them, and its answers are compared with those that the clients get. Such "
            "steps come first. 0 = no copies.");
    s.Field("duration", &RolloutStep::duration, schema::Time<milliseconds>(0ms),
            "The step lasts at least this long.");
    s.Field("min_requests", &RolloutStep::min_requests, schema::Integer<int64_t>(0),
            "At least this many requests must reach the candidate in this step; 0 = computed from "
            "the gates.");
    s.Field("approval", &RolloutStep::approval,
            schema::TypePtr<StepApproval>(std::make_shared<ApprovalType>()),
            "true: once all else holds, wait for a person: `leadsman rollout promote`. With "
            "{webhook: {url: …}} that is asked too. The time does not count towards max_duration.");
    return s;
  }();
  return table;
}

/// The fields of gates that ask outside.
const schema::Struct<OutsideOptions>& OutsideSchema() {
  using Options = OutsideOptions;
  static const auto table = [] {
    constexpr double kAny = std::numeric_limits<double>::infinity();
    schema::Struct<Options> s("OutsideGate", "What is asked of somebody outside.");
    s.Field("name", &Options::name, schema::Text(),
            "promql, webhook: what people call the gate; needed to tell several of a kind apart.");
    s.Field("address", &Options::address, schema::Text(),
            "promql: where the Prometheus is, as http://prometheus:9090.");
    s.Field("query", &Options::query, schema::TextWith("PromQL", CheckPlaceholders),
            "promql: gives one number; {{model}}, {{stable}} and {{candidate}} are filled in.");
    s.Field("min", &Options::min, schema::Optional(schema::Share(-kAny, kAny)),
            "promql: the answer must not be below. Above: max.");
    s.Field("url", &Options::url, schema::Text(), "webhook: where the rollout is posted.");
    s.Field("interval", &Options::interval, schema::Time<milliseconds>(100ms, 24h),
            "promql, webhook: how often it is asked.");
    s.Field("timeout", &Options::timeout, schema::Time<milliseconds>(10ms, 5min),
            "promql, webhook: for one answer; without one the rollout holds.");
    s.Field("failures", &Options::failures, schema::Integer<int>(0, 1000),
            "promql, webhook: so many failing answers in a row take the candidate back; 0 = 3 of "
            "promql, 1 of webhook.");
    s.Field("on_no_data", &Options::on_no_data,
            schema::Enum<Options::OnNoData>(
                {{"hold", Options::OnNoData::kHold}, {"fail", Options::OnNoData::kFail}}),
            "promql: what an answer without a number means. A Prometheus that cannot be reached "
            "always holds.");
    s.Field(
        "allow_absent", &Options::allow_absent, schema::Boolean(),
        "promql: true = the query may name what is not there yet. Otherwise that is refused where "
        "the configuration is checked and reloaded.");
    s.Field("when", &Options::when,
            schema::Enum<Options::When>({{"always", Options::When::kAlways},
                                         {"before_switch", Options::When::kBeforeSwitch},
                                         {"after_switch", Options::When::kAfterSwitch}}),
            "promql, webhook with strategy blue_green: when it is asked.");
    s.Field("ca_file", &Options::ca_file, schema::Text(),
            "promql, webhook: PEM: who signed the other's certificate; empty = the system's "
            "authorities.");
    s.Field("cert_file", &Options::cert_file, schema::Text(),
            "promql, webhook: PEM: a certificate to show, with its chain.");
    s.Field("key_file", &Options::key_file, schema::Text(), "promql, webhook: PEM: its key.");
    s.Field("token_file", &Options::token_file, schema::Text(),
            "promql, webhook: file with a bearer token; read again for each question, as all "
            "secrets.");
    s.Field("username", &Options::username, schema::Text(),
            "promql, webhook: Basic authentication.");
    s.Field("password_file", &Options::password_file, schema::Text(),
            "promql, webhook: file with its password.");
    return s;
  }();
  return table;
}

/// The fields of a gate of mean losses.
const schema::Struct<LossOptions>& LossSchema() {
  using Options = LossOptions;
  static const auto table = [] {
    schema::Struct<Options> s("LossGate", "How far off an answer was.");
    s.Field("metric", &Options::metric,
            schema::Enum<LossMetric>({{"absolute_error", LossMetric::kAbsoluteError},
                                      {"squared_error", LossMetric::kSquaredError},
                                      {"log_loss", LossMetric::kLogLoss},
                                      {"brier", LossMetric::kBrier}}),
            "loss only: of numbers the absolute or the squared error; of probabilities log_loss or "
            "brier.");
    s.Field("highest", &Options::highest, schema::Number(0, kHighestLoss),
            "loss only: in the metric's units, the largest loss that counts; a larger one counts "
            "as this. Must be given; 0 = of brier 1.");
    s.Field("good_enough", &Options::good_enough, schema::Number(0, kHighestLoss),
            "loss only: a mean loss below this, in the metric's units, is good enough, whatever "
            "the ratio; 0 = none is.");
    return s;
  }();
  return table;
}

/// A field that belongs to some kinds of gates only, and whether this one has it.
struct OwnField {
  const char* name;
  bool given;
};

std::vector<OwnField> LossFields(const Gate& gate) {
  const LossOptions fresh;
  return {{"metric", gate.loss.metric != fresh.metric},
          {"highest", gate.loss.highest != fresh.highest},
          {"good_enough", gate.loss.good_enough != fresh.good_enough}};
}

void CheckLoss(const Gate& gate, schema::Problems& problems) {
  if (!problems.IsSound("highest") || !problems.IsSound("metric")) return;
  const double highest = MeasureOf(gate).highest;
  if (highest <= 0) {
    problems.Add("highest", StrCat("is missing: the largest ", LossMetricWords(gate.loss.metric),
                                   " that counts, in its own units; what is above counts as that"));
    return;
  }
  if (gate.loss.metric == LossMetric::kBrier && highest > 1)
    problems.Add("highest", "must be at most 1: no Brier score is above");
  if (gate.loss.good_enough >= highest && problems.IsSound("good_enough"))
    problems.Add("good_enough", StrCat("must be below highest (", highest, ")"));
  if (gate.max && (*gate.max <= 0 || *gate.max >= highest) && problems.IsSound("max")) {
    problems.Add("max", StrCat("must be above 0 and below highest (", highest,
                               "): it bounds the mean loss, in the metric's units"));
  }
  if (gate.floor != Gate{}.floor && problems.IsSound("floor")) {
    problems.Add("floor", "is of rates: give good_enough, a mean loss in the metric's units");
  }
}

void CheckOutside(const Gate& gate, schema::Problems& problems) {
  if (!problems.IsSound("kind")) return;
  const OutsideOptions& o = gate.outside;
  const OutsideOptions fresh;
  const bool promql = gate.kind == Gate::Kind::kPromql;
  const bool webhook = gate.kind == Gate::Kind::kWebhook;
  auto refuse = [&](const std::vector<OwnField>& fields, const char* whose) {
    for (const OwnField& field : fields) {
      if (field.given) problems.Add(field.name, StrCat("belongs to gates of the kind ", whose));
    }
  };
  if (!promql) {
    refuse({{"address", !o.address.empty()},
            {"query", !o.query.empty()},
            {"min", o.min.has_value()},
            {"on_no_data", o.on_no_data != fresh.on_no_data},
            {"allow_absent", o.allow_absent}},
           "promql");
  }
  if (!webhook) refuse({{"url", !o.url.empty()}}, "webhook");
  if (!promql && !webhook) {
    refuse({{"name", !o.name.empty()},
            {"interval", o.interval != fresh.interval},
            {"timeout", o.timeout != fresh.timeout},
            {"failures", o.failures != fresh.failures},
            {"when", o.when != fresh.when},
            {"ca_file", !o.ca_file.empty()},
            {"cert_file", !o.cert_file.empty()},
            {"key_file", !o.key_file.empty()},
            {"token_file", !o.token_file.empty()},
            {"username", !o.username.empty()},
            {"password_file", !o.password_file.empty()}},
           "promql or webhook");
    if (gate.kind == Gate::Kind::kLoss) CheckLoss(gate, problems);
    if (gate.kind != Gate::Kind::kLoss) refuse(LossFields(gate), "loss");
    if (gate.kind != Gate::Kind::kAnswers) {
      refuse({{"only_classes", gate.only_classes}}, "answers");
    } else if (!gate.max && problems.IsSound("max")) {
      problems.Add("max", "is missing: the share of answers that may differ, as 1%");
    }
    return;
  }
  refuse({{"only_classes", gate.only_classes}}, "answers");
  refuse(LossFields(gate), "loss");
  refuse({{"weight", gate.weight != Gate{}.weight}},
         "errors, latency, quality, loss or answers: an answer from outside has no part of alpha");
  if (webhook) {
    if (o.url.empty()) problems.Add("url", "is missing: where the rollout is posted");
    refuse({{"max", gate.max.has_value()}}, "errors, latency, quality, loss, answers or promql");
  }
  if (promql) {
    if (o.address.empty())
      problems.Add("address", "is missing: where the Prometheus is, as http://prometheus:9090");
    if (o.query.empty()) problems.Add("query", "is missing: what it is asked");
    if (!gate.max && !o.min && problems.IsSound("max") && problems.IsSound("min"))
      problems.Add("max", "is missing: give max, min or both, which the answer is held against");
    if (gate.max && o.min && *o.min > *gate.max)
      problems.Add("min", "must not be above max: no answer would pass");
  }
  if (!o.token_file.empty() && !o.username.empty())
    problems.Add("username", "either token_file or username with password_file");
  if (o.username.empty() != o.password_file.empty())
    problems.Add("password_file", "username and password_file go together");
  if (o.cert_file.empty() != o.key_file.empty())
    problems.Add("key_file", "cert_file and key_file go together");
}

const schema::Struct<Gate>& GateSchema() {
  static const auto table = [] {
    constexpr double kAny = std::numeric_limits<double>::infinity();
    schema::Struct<Gate> s(
        "RolloutGate",
        "What must hold for the candidate. Gates of the kinds errors, latency "
        "and quality watch one kind of bad event in the stable and the candidate "
        "version over the same time; loss how far off their answers are on average; answers "
        "compares what both say to the same requests; promql "
        "and webhook ask somebody outside.");
    s.Required(
        "kind", &Gate::kind,
        schema::Enum<Gate::Kind>({{"errors", Gate::Kind::kErrors},
                                  {"latency", Gate::Kind::kLatency},
                                  {"quality", Gate::Kind::kQuality},
                                  {"loss", Gate::Kind::kLoss},
                                  {"answers", Gate::Kind::kAnswers},
                                  {"promql", Gate::Kind::kPromql},
                                  {"webhook", Gate::Kind::kWebhook}}),
        "The bad event: a request answered with an error; an answer slower than the stable "
        "version's quantiles; a labelled prediction that was wrong; an answer to a copy "
        "that is another one than the client's. Or the mean loss of labelled predictions, as "
        "of regression. Or who is asked: a Prometheus; a webhook.");
    s.Field(
        "weight", &Gate::weight, schema::NumberAbove(0, 1000),
        "Of gates that count: alpha is shared by these. A gate of weight 3 beside one of weight "
        "1 has three quarters of it, and finds harm sooner at its cost.");
    s.Field("margin", &Gate::margin, schema::NumberAbove(1, 1000),
            "The candidate counts as worse when its rate of bad events, or its mean loss, is this "
            "many times the stable version's.");
    s.Field("floor", &Gate::floor, schema::Share(0, 1),
            "A rate of bad events below this is good enough, whatever the ratio; 0 = no floor.");
    s.Field("quantiles", &Gate::quantiles, schema::List(schema::Share(0, 1, true), 1, 16),
            "latency only: the stable version's quantiles that serve as thresholds, growing, each "
            "below 1.");
    s.Field("safe_quantile", &Gate::safe_quantile, schema::Share(0, 1, true),
            "latency only: the quantile that the test of safety looks at; below 1.");
    s.Field("ignore_below", &Gate::ignore_below, schema::Time<milliseconds>(0ms, 60s),
            "latency only: answers faster than this are never slow.");
    s.Field(
        "max", &Gate::max, schema::Optional(schema::Share(-kAny, kAny)),
        "An absolute bound, as 2%: the candidate's rate of bad events must be shown to be below "
        "it, and it is taken back when shown to be above. The stable version is not looked at, "
        "and margin and floor are not used. loss: of its mean loss, in the metric's units. promql: "
        "the answer must not be above.");
    s.Field("slower_than", &Gate::slower_than, schema::Time<milliseconds>(0ms, 60s),
            "latency with max only: an answer that takes this long or longer is slow.");
    s.Field("only_classes", &Gate::only_classes, schema::Boolean(),
            "answers only: another class counts, another number does not.");
    s.Embedded(&Gate::loss, LossSchema());
    s.Embedded(&Gate::outside, OutsideSchema());
    s.Check(CheckOutside);
    s.Check([](const Gate& gate, schema::Problems& problems) {
      for (size_t i = 0; i < gate.quantiles.size(); ++i) {
        std::string path = StrCat("quantiles[", i, "]");
        if (gate.quantiles[i] >= 1) problems.Add(path, "must be below 1 (100%)");
        if (i > 0 && gate.quantiles[i] <= gate.quantiles[i - 1])
          problems.Add(path, "must be greater than the one before");
      }
      if (gate.safe_quantile >= 1) problems.Add("safe_quantile", "must be below 1 (100%)");
      const bool rates =
          problems.IsSound("kind") && !IsOutside(gate.kind) && gate.kind != Gate::Kind::kLoss;
      if (rates && gate.max && (*gate.max <= 0 || *gate.max >= 1))
        problems.Add("max", "must be above 0 and below 1 (100%): it bounds a rate");
      const bool bounded_latency = gate.max && gate.kind == Gate::Kind::kLatency;
      if (problems.IsSound("kind") && bounded_latency && gate.slower_than <= 0ms)
        problems.Add("slower_than", "max needs it: which answers are slow, as 200ms");
      if (problems.IsSound("kind") && problems.IsSound("max") && !bounded_latency &&
          gate.slower_than > 0ms)
        problems.Add("slower_than", "belongs to a latency gate with max");
      if (gate.floor >= 1)
        problems.Add("floor", "must be below 1: a rate of 100% would always be good enough");
    });
    return s;
  }();
  return table;
}

const schema::Struct<BlueGreenOptions>& BlueGreenSchema() {
  using Options = BlueGreenOptions;
  static const auto table = [] {
    schema::Struct<Options> s(
        "BlueGreen",
        "How all traffic is switched at once. The stable version is kept ready until the end, and "
        "has it back when the candidate does harm.");
    s.Field(
        "preview_duration", &Options::preview_duration, schema::Time<milliseconds>(0ms, 24h * 30),
        "At least this long the candidate is ready beside the stable version, without traffic.");
    s.Field("auto_promote", &Options::auto_promote, schema::Boolean(),
            "false: the switch waits for a person, `leadsman rollout promote`.");
    s.Field("watch_duration", &Options::watch_duration, schema::Time<milliseconds>(0ms, 24h * 30),
            "At least this long the candidate is watched after the switch.");
    s.Field("min_requests", &Options::min_requests, schema::Integer<int64_t>(0),
            "At least this many requests must reach the candidate after the switch.");
    return s;
  }();
  return table;
}

const schema::Struct<ShadowOptions>& ShadowSchema() {
  using Options = ShadowOptions;
  static const auto table = [] {
    schema::Struct<Options> s("Shadow",
                              "How the candidate is looked at before it has any traffic: it gets "
                              "copies of requests, and no client its answers. Then it takes all "
                              "traffic at once.");
    s.Field("mirror", &Options::mirror, schema::Share(0, 1, true),
            "Share of the requests that is copied, in steps of 0.01%.");
    s.Field("duration", &Options::duration, schema::Time<milliseconds>(0ms, 24h * 30),
            "At least this long.");
    s.Field("min_requests", &Options::min_requests, schema::Integer<int64_t>(0),
            "At least so many copies must have been answered; 0 = computed from the gates.");
    s.Field("auto_promote", &Options::auto_promote, schema::Boolean(),
            "false: it takes the traffic when a person says so, `leadsman rollout promote`.");
    s.Check([](const Options& options, schema::Problems& problems) {
      if (problems.IsSound("mirror") && options.mirror < 0.0001)
        problems.Add("mirror", "must be at least 0.01%: copies are drawn in steps of that");
    });
    return s;
  }();
  return table;
}

const schema::Struct<RollingOptions>& RollingSchema() {
  using Options = RollingOptions;
  static const auto table = [] {
    schema::Struct<Options> s(
        "Rolling",
        "How the traffic follows the candidate's endpoints: in equal steps, each "
        "entered when as many of them are ready as its share needs.");
    s.Field(
        "batches", &Options::batches, schema::Integer<int>(0, 49),
        "How many steps; 0 = one for each of the candidate's endpoints when the rollout begins, at "
        "least 2, and no more than fit into max_duration.");
    s.Field("duration", &Options::duration, schema::Time<milliseconds>(0ms, 24h * 30),
            "Each step lasts at least this long.");
    s.Field(
        "min_requests", &Options::min_requests, schema::Integer<int64_t>(0),
        "At least this many requests must reach the candidate in each step; 0 = computed from the "
        "gates.");
    s.Field("max_unavailable", &Options::max_unavailable, schema::Share(0, 0.99),
            "Of the endpoints that a share needs, those that may not be ready.");
    s.Check([](const Options& options, schema::Problems& problems) {
      if (options.batches == 1)
        problems.Add("batches",
                     "must be at least 2: with one all traffic is switched at once, which is what "
                     "strategy: blue_green is for");
    });
    return s;
  }();
  return table;
}

const schema::Struct<AbOptions>& AbSchema() {
  using Options = AbOptions;
  static const auto table = [] {
    schema::Struct<Options> s(
        "AbTest",
        "A fixed split for a fixed time, to measure by. Gates only guard: harm takes "
        "the candidate back. At the end there is a readout of both versions.");
    s.Field("weight", &Options::weight, schema::Share(0, 0.9999, true),
            "The candidate's share of the traffic.");
    s.Field("duration", &Options::duration, schema::Time<milliseconds>(0ms, 24h * 180),
            "So long it is measured, at least; max_duration must be longer.");
    s.Field("min_requests", &Options::min_requests, schema::Integer<int64_t>(0),
            "So many requests must reach the candidate, at least.");
    s.Field(
        "on_end", &Options::on_end,
        schema::Enum<Options::OnEnd>({{"hold", Options::OnEnd::kHold},
                                      {"promote_winner", Options::OnEnd::kPromoteWinner},
                                      {"stable", Options::OnEnd::kStable}}),
        "hold: a person promotes or aborts it; promote_winner: whichever is shown to be better in "
        "something and worse in nothing, held while neither is; stable: back to the stable "
        "version.");
    s.Field("confidence", &Options::confidence, schema::Share(0.5, 0.999999),
            "That all intervals of the readout together have the true differences in them, at "
            "every look.");
    s.Check([](const Options& options, schema::Problems& problems) {
      if (problems.IsSound("weight") && options.weight < 0.0001)
        problems.Add("weight", "must be at least 0.01%: traffic is split in steps of that");
    });
    return s;
  }();
  return table;
}

const schema::Struct<SegmentOptions>& SegmentsSchema() {
  using Options = SegmentOptions;
  static const auto table = [] {
    schema::Struct<Options> s(
        "RolloutSegments",
        "Harm is looked for in each segment of the requests (monitoring.segments) too, by the "
        "gates "
        "of errors and quality. These tests together are one gate more; which of them have found "
        "something e-BH says, so that of what it names at most that part of alpha is by chance.");
    s.Field("by", &Options::by, schema::List(schema::Text(), 0, 4),
            "Names of monitoring.segments; empty = all of them.");
    s.Field("max", &Options::max, schema::Integer<int>(1, Options::kMost),
            "So many segments, those with the most traffic at the start and then those that come "
            "first; later ones are not looked at. What a segment must show grows with it: give it "
            "as many as matter.");
    s.Field("on_harm", &Options::on_harm,
            schema::Enum<Options::OnHarm>(
                {{"roll_back", Options::OnHarm::kRollBack}, {"hold", Options::OnHarm::kHold}}),
            "roll_back: harm in one segment takes the candidate back; hold: no step is left while "
            "it shows, and a person promotes or aborts.");
    return s;
  }();
  return table;
}

/// A window as it is written.
struct WrittenFreeze {
  std::vector<std::string> days;
  std::string from = TimeOfDay(FreezeWindow{}.from);
  std::string to = TimeOfDay(FreezeWindow{}.to);
};

std::string CheckDay(const std::string& name) {
  return ParseDay(name) ? "" : "must be one of mon, tue, wed, thu, fri, sat and sun";
}
std::string CheckTimeOfDay(const std::string& text) {
  return ParseTimeOfDay(text) ? "" : "must be a time of the day as \"16:30\", up to \"24:00\"";
}

const schema::Struct<WrittenFreeze>& FreezeSchema() {
  static const auto table = [] {
    schema::Struct<WrittenFreeze> s(
        "Freeze", "A time of the week, in UTC, in which no step is left and nothing is promoted.");
    s.Field("days", &WrittenFreeze::days,
            schema::List(schema::TextWith("mon, tue, wed, thu, fri, sat, sun", CheckDay), 0, 7),
            "The days on which it begins; empty = each.");
    s.Field("from", &WrittenFreeze::from, schema::TextWith("HH:MM", CheckTimeOfDay),
            "UTC, in quotes.");
    s.Field("to", &WrittenFreeze::to, schema::TextWith("HH:MM", CheckTimeOfDay),
            "UTC, in quotes; not above from: on the day after.");
    return s;
  }();
  return table;
}

schema::TypePtr<FreezeWindow> FreezeType() {
  return schema::Via<FreezeWindow, WrittenFreeze>(
      FreezeSchema(),
      [](const WrittenFreeze& written) {
        FreezeWindow window;
        for (const std::string& day : written.days) window.days.push_back(*ParseDay(day));
        window.from = *ParseTimeOfDay(written.from);
        window.to = *ParseTimeOfDay(written.to);
        return window;
      },
      [](const FreezeWindow& window) {
        WrittenFreeze written;
        for (std::chrono::weekday day : window.days) written.days.push_back(DayName(day));
        written.from = TimeOfDay(window.from);
        written.to = TimeOfDay(window.to);
        return written;
      });
}

/// What the plan takes at least.
milliseconds PlannedTime(const Plan& plan) {
  milliseconds planned{0};
  if (plan.strategy == Plan::Strategy::kBlueGreen) {
    const BlueGreenOptions options = plan.blue_green.value_or(BlueGreenOptions{});
    return options.preview_duration + options.watch_duration;
  }
  if (plan.strategy == Plan::Strategy::kShadow)
    return plan.shadow.value_or(ShadowOptions{}).duration;
  if (plan.strategy == Plan::Strategy::kAb) return plan.ab.value_or(AbOptions{}).duration;
  if (plan.strategy == Plan::Strategy::kRolling) {
    const RollingOptions options = plan.rolling.value_or(RollingOptions{});
    // Two are taken in any case; further ones of `batches: 0` only if they fit.
    return std::max(options.batches, 2) * options.duration;
  }
  for (const RolloutStep& step : plan.steps) planned += step.duration;
  return planned;
}

/// Copies are what some gates count, and what others cannot.
void CheckMirrors(const Plan& plan, schema::Problems& problems) {
  const bool shadow = plan.strategy == Plan::Strategy::kShadow;
  for (size_t i = 0; i < plan.gates.size(); ++i) {
    const Gate& gate = plan.gates[i];
    const std::string at = StrCat("gates[", i, "].");
    if (!problems.IsSound(at + "kind") || !problems.IsSound("steps")) continue;
    if (gate.kind == Gate::Kind::kAnswers && !Mirrors(plan)) {
      problems.Add(at + "kind",
                   "compares answers to copies: use strategy: shadow, or give a step a mirror");
    }
    if (gate.kind == Gate::Kind::kLoss && Mirrors(plan)) {
      problems.Add(at + "kind",
                   "cannot be judged by copies, whose answers are compared and not kept for "
                   "labels: leave it out, or use strategy: canary without a mirror");
    }
    if (gate.kind == Gate::Kind::kQuality && gate.max && shadow) {
      problems.Add(at + "max",
                   "cannot be judged by copies, of which only rows with another class have labels: "
                   "leave it out, or use strategy: canary");
    }
  }
}

void CheckSegments(const Plan& plan, schema::Problems& problems) {
  if (!plan.segments || !problems.IsSound("segments")) return;
  bool looks = false;
  for (size_t i = 0; i < plan.gates.size(); ++i) {
    if (!problems.IsSound(StrCat("gates[", i, "].kind"))) return;
    looks = looks || LooksAtSegments(plan.gates[i].kind);
  }
  if (plan.strategy == Plan::Strategy::kShadow) {
    problems.Add("segments",
                 "copies are not told apart by them: leave it out, or use strategy: canary");
  } else if (!looks) {
    problems.Add("segments", "needs a gate that looks at them: errors or quality");
  }
}

/// What the strategy allows.
void CheckStrategy(const Plan& plan, schema::Problems& problems) {
  if (!problems.IsSound("strategy")) return;
  CheckMirrors(plan, problems);
  if (plan.strategy != Plan::Strategy::kShadow && plan.shadow)
    problems.Add("shadow", "belongs to strategy: shadow");
  if (plan.strategy != Plan::Strategy::kRolling && plan.rolling)
    problems.Add("rolling", "belongs to strategy: rolling");
  if (plan.strategy != Plan::Strategy::kAb && plan.ab)
    problems.Add("ab", "belongs to strategy: ab");
  if (plan.strategy == Plan::Strategy::kAb && plan.steps != DefaultSteps())
    problems.Add("steps", "an A/B test has none, but one share all the time: see ab.weight");
  if (plan.strategy == Plan::Strategy::kRolling && plan.steps != DefaultSteps())
    problems.Add("steps", "rolling has none: they are as many as batches; see rolling");
  if (plan.strategy != Plan::Strategy::kBlueGreen) {
    for (size_t i = 0; i < plan.gates.size(); ++i) {
      if (IsOutside(plan.gates[i].kind) &&
          plan.gates[i].outside.when != OutsideOptions::When::kAlways)
        problems.Add(StrCat("gates[", i, "].when"), "belongs to strategy: blue_green");
    }
    if (plan.blue_green) problems.Add("blue_green", "belongs to strategy: blue_green");
    if (plan.gates.empty()) problems.Add("gates", "must have at least one: what decides");
    if (plan.strategy == Plan::Strategy::kShadow && plan.steps != DefaultSteps()) {
      problems.Add("steps",
                   "shadow has none: see shadow; for copies before growing shares use strategy: "
                   "canary with a step of weight 0 and a mirror");
    }
    return;
  }
  if (plan.steps != DefaultSteps()) {
    problems.Add("steps", "blue/green has none: all traffic is switched at once; see blue_green");
  }
  for (size_t i = 0; i < plan.gates.size(); ++i) {
    const std::string kind = StrCat("gates[", i, "].kind");
    if (plan.gates[i].max || IsOutside(plan.gates[i].kind) || !problems.IsSound(kind) ||
        !problems.IsSound(StrCat("gates[", i, "].max"))) {
      continue;
    }
    if (!problems.IsGiven("gates")) {
      problems.Add("gates",
                   "blue/green needs gates of its own: the default ones compare with the stable "
                   "version, which has no traffic while the candidate has it all. Give errors, "
                   "latency, quality or loss with max, promql, webhook, or [] to judge by nothing");
      break;
    }
    problems.Add(kind,
                 "compares with the stable version, which has no traffic while the candidate has "
                 "it all: give a max, or use strategy: canary");
  }
}

void CheckPlan(const Plan& plan, schema::Problems& problems) {
  CheckStrategy(plan, problems);
  CheckSegments(plan, problems);
  bool sound = true;  // what could not be read stands for a window of its defaults
  for (size_t i = 0; i < plan.freeze.size(); ++i) {
    for (const char* field : {"days", "from", "to"})
      sound = sound && problems.IsSound(StrCat("freeze[", i, "].", field));
  }
  if (sound && !plan.freeze.empty() && !LeavesTime(plan.freeze))
    problems.Add("freeze", "leaves no time of the week in which anything is promoted");
  for (size_t i = 0; i < plan.steps.size(); ++i) {
    const RolloutStep& step = plan.steps[i];
    const std::string at = StrCat("steps[", i, "].");
    const bool both_sound = problems.IsSound(at + "weight") && problems.IsSound(at + "mirror");
    if (step.weight > 0 && step.weight < 0.0001)
      problems.Add(at + "weight", "must be at least 0.01%: traffic is split in steps of that");
    if (step.mirror > 0 && step.mirror < 0.0001)
      problems.Add(at + "mirror", "must be at least 0.01%: copies are drawn in steps of that");
    if (both_sound && step.weight == 0 && step.mirror == 0)
      problems.Add(at + "weight", "must be above 0, unless the step has a mirror");
    if (both_sound && step.weight > 0 && step.mirror > 0) {
      problems.Add(at + "mirror",
                   "goes with a weight of 0: a step sends the candidate either copies or requests");
    }
  }
  for (size_t i = 1; i < plan.steps.size(); ++i) {
    const RolloutStep &step = plan.steps[i], &before = plan.steps[i - 1];
    if (step.mirror > 0 && before.weight == 0) {
      if (step.mirror <= before.mirror) {
        problems.Add(
            StrCat("steps[", i, "].mirror"),
            StrCat("must be greater than that of the step before it (", before.mirror, ")"));
      }
      continue;
    }
    if (step.mirror > 0 && step.weight == 0) {
      problems.Add(StrCat("steps[", i, "].mirror"),
                   "must come before the steps with a weight: copies show less than requests do");
      continue;
    }
    if (plan.steps[i].weight <= plan.steps[i - 1].weight) {
      problems.Add(StrCat("steps[", i, "].weight"),
                   StrCat("must be greater than the step before it (", plan.steps[i - 1].weight,
                          "): the candidate's share only grows"));
    }
  }
  std::set<std::string_view> names;
  for (size_t i = 0; i < plan.gates.size(); ++i) {
    const std::string kind = StrCat("gates[", i, "].kind");
    // A misspelt kind has been told already, and stands for the default here.
    if (!problems.IsSound(kind)) continue;
    if (names.insert(NameOf(plan.gates[i])).second) continue;
    if (!IsOutside(plan.gates[i].kind)) {
      problems.Add(kind, "there is already a gate of this kind");
    } else if (plan.gates[i].outside.name.empty()) {
      problems.Add(kind, "there is already a gate of this kind: give this one a name");
    } else {
      problems.Add(StrCat("gates[", i, "].name"), "there is already a gate of this name");
    }
  }
  if (const milliseconds planned = PlannedTime(plan); plan.max_duration <= planned) {
    const char* parts = "the steps together";
    if (plan.strategy == Plan::Strategy::kBlueGreen)
      parts = "preview_duration and watch_duration together";
    if (plan.strategy == Plan::Strategy::kShadow) parts = "shadow.duration";
    if (plan.strategy == Plan::Strategy::kRolling) parts = "the batches together";
    if (plan.strategy == Plan::Strategy::kAb) parts = "ab.duration";
    problems.Add("max_duration",
                 StrCat("must be longer than ", parts, " (", schema::FormatTime(planned), ")"));
  }
  if (plan.interval > plan.max_duration)
    problems.Add("interval", "must not be longer than max_duration");
}

}  // namespace

RolloutPlan DefaultRolloutPlan() {
  Plan plan;
  if (plan.gates.empty()) {
    plan.gates.resize(2);
    plan.gates[0].kind = Gate::Kind::kErrors;
    plan.gates[1].kind = Gate::Kind::kLatency;
  }
  return plan;
}

const schema::Struct<RolloutPlan>& RolloutPlanSchema() {
  static const auto table = [] {
    schema::Struct<Plan> s(
        "RolloutPlan",
        "How a new version of the model takes over. Without a plan the highest ready version is "
        "served at "
        "once; with one, it gets traffic step by step and is taken back when the evidence says so.",
        DefaultRolloutPlan());
    s.Field(
        "strategy", &Plan::strategy,
        schema::Enum<Plan::Strategy>({{"canary", Plan::Strategy::kCanary},
                                      {"blue_green", Plan::Strategy::kBlueGreen},
                                      {"shadow", Plan::Strategy::kShadow},
                                      {"rolling", Plan::Strategy::kRolling},
                                      {"ab", Plan::Strategy::kAb}}),
        "canary: a growing share of the traffic; blue_green: all of it at once, and at once "
        "back; shadow, of models behind the gateway: copies of requests, whose answers are "
        "compared, and then all traffic; rolling: a share that follows how many of the candidate's "
        "endpoints are ready; ab: a fixed split for a fixed time, with a readout at its end.");
    s.Field("steps", &Plan::steps, schema::List(schema::Of(StepSchema()), 1, 50),
            "canary only: the stages, with growing weights. Default: 5%, 25%, 50%.");
    s.Field("blue_green", &Plan::blue_green, schema::Optional(schema::Of(BlueGreenSchema())),
            "blue_green only.");
    s.Field("shadow", &Plan::shadow, schema::Optional(schema::Of(ShadowSchema())), "shadow only.");
    s.Field("rolling", &Plan::rolling, schema::Optional(schema::Of(RollingSchema())),
            "rolling only.");
    s.Field("ab", &Plan::ab, schema::Optional(schema::Of(AbSchema())), "ab only.");
    s.Field("gates", &Plan::gates, schema::List(schema::Of(GateSchema()), 0, 20),
            "What must hold: at most one gate of errors, latency, quality, loss and answers each, "
            "any of "
            "promql and webhook. Default: errors and latency.");
    s.Field("segments", &Plan::segments, schema::Optional(schema::Of(SegmentsSchema())),
            "Look for harm in each segment of the requests too; absent = in all of them together "
            "alone.");
    s.Field("alpha", &Plan::alpha, schema::Share(0, 0.5, true),
            "Probability of rolling back a version that is as good as the stable one, over the "
            "whole rollout.");
    s.Field("beta", &Plan::beta, schema::Share(0, 0.5, true),
            "Probability, for each gate, of promoting a version that is worse than the margin.");
    s.Field("interval", &Plan::interval, schema::Time<milliseconds>(50ms, 1h),
            "How often evidence is taken and weighed.");
    s.Field("max_duration", &Plan::max_duration, schema::Time<milliseconds>(1s, 24h * 365),
            "Without a verdict by then, on_inconclusive decides.");
    s.Field("on_inconclusive", &Plan::on_inconclusive,
            schema::Enum<Plan::OnInconclusive>({{"roll_back", Plan::OnInconclusive::kRollBack},
                                                {"hold", Plan::OnInconclusive::kHold},
                                                {"promote", Plan::OnInconclusive::kPromote}}),
            "What happens when max_duration passes without a verdict.");
    s.Field("seed", &Plan::seed, schema::Optional(schema::Integer<uint64_t>(0)),
            "At a gateway whose split keeps users together (gateway.services[].split.by): which of "
            "them come to the candidate first. Absent = others in each rollout.");
    s.Field(
        "progress_deadline", &Plan::progress_deadline, schema::Time<milliseconds>(1s, 24h * 30),
        "A candidate that is not ready so long after its rollout has begun is taken back, with the "
        "reason that it was not. One that was ready has as long again to load after a restart; a "
        "restart while it is not ready begins nothing anew. One that was ready and is away: "
        "lost_after. Pauses do not count.");
    s.Field("warmup", &Plan::warmup, schema::Time<milliseconds>(0ms, 24h),
            "Evidence of the first moments after the start is not counted.");
    s.Field(
        "lost_after", &Plan::lost_after, schema::Time<milliseconds>(0ms, 24h),
        "A candidate that was ready and is not any more has no traffic, and is taken back after "
        "so long; 0 = at once.");
    s.Field(
        "freeze", &Plan::freeze, schema::List(FreezeType(), 0, 50),
        "Times in which no step is left and nothing is promoted by itself. Harm is taken back at "
        "any time; a person may promote at any.");
    s.Field("probation", &Plan::probation, schema::Time<milliseconds>(0ms, 24h * 30),
            "After a promotion the old version is kept ready for so long: late labels of what was "
            "predicted during the rollout, failing answers of promql and webhook gates, and the "
            "loss of the new version bring it back. 0 = it is let go at once.");
    s.Field(
        "sample_ratio_alpha", &Plan::sample_ratio_alpha, schema::Share(0, 0.5),
        "canary only: when requests are not split as the step says, the rollout holds, and that is "
        "told. Probability of that with a split as it should be, over the whole "
        "rollout; 0 = it is not checked, as at a gateway whose split keeps users together.");
    s.Check(CheckPlan);
    return s;
  }();
  return table;
}

}  // namespace leadsman
