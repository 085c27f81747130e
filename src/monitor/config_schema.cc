#include "monitor/config_schema.h"

#include <algorithm>
#include <functional>
#include <set>

#include "base/strings.h"
#include "events/prediction_event.h"

namespace leadsman {

using std::chrono::milliseconds;
using std::chrono::seconds;
using namespace std::chrono_literals;  // NOLINT: literals

namespace {

const schema::Struct<LatencyObjective>& LatencyObjectiveSchema() {
  static const auto table = [] {
    schema::Struct<LatencyObjective> s("LatencyObjective", "How fast answers have to be.");
    s.Required("threshold", &LatencyObjective::threshold, schema::Time<milliseconds>(1ms, 1min),
               "What is slower is slow, within the 12.5 % of a latency bucket.");
    s.Field("objective", &LatencyObjective::objective, schema::Share(0.5, 0.99999),
            "The share of successful answers that must not be slow.");
    return s;
  }();
  return table;
}

const schema::Struct<ReferenceConfig>& ReferenceConfigSchema() {
  static const auto table = [] {
    using From = ReferenceConfig::From;
    schema::Struct<ReferenceConfig> s("ReferenceConfig",
                                      "What later requests are compared with to find drift.");
    s.Field("from", &ReferenceConfig::from,
            schema::Enum<From>({{"first_requests", From::kFirstRequests},
                                {"file", From::kFile},
                                {"stable", From::kStable},
                                {"window", From::kWindow}}),
            "The first requests of each version; a file of the training data; what the oldest "
            "version that is compared already is compared with; or the latest requests before "
            "those that are compared: as soon as a window is complete it takes the place of the "
            "one before, and drift slower than that is not found.");
    s.Field("requests", &ReferenceConfig::requests, schema::Integer<size_t>(500, 1'000'000),
            "How many requests are collected at least.");
    s.Field("period", &ReferenceConfig::period, schema::Time<std::chrono::seconds>(0s, 24h * 365),
            "For how long at least: 24h, or 7d, have all that comes with the time of the day or "
            "the week.");
    s.Field("path", &ReferenceConfig::path, schema::Text(),
            "The file: .csv with a header of names, or .npz with a table (rows, values).");
    s.Check([](const ReferenceConfig& reference, schema::Problems& problems) {
      if (reference.from == From::kFile && reference.path.empty()) {
        problems.Add("path", "from: file needs path, a .csv or .npz file");
      }
      if (reference.from != From::kFile && !reference.path.empty()) {
        problems.Add("path", "is read with from: file alone");
      }
    });
    return s;
  }();
  return table;
}

const schema::Struct<QualityObjective>& QualityObjectiveSchema() {
  static const auto table = [] {
    using Measure = QualityObjective::Measure;
    schema::Struct<QualityObjective> s("QualityObjective",
                                       "What is asked of one measure of labels (docs/quality.md).");
    s.Required("measure", &QualityObjective::measure,
               schema::Enum<Measure>({{"recall", Measure::kRecall},
                                      {"precision", Measure::kPrecision},
                                      {"f1", Measure::kF1},
                                      {"mean_absolute_error", Measure::kMeanAbsoluteError}}),
               "Which.");
    s.Field("class", &QualityObjective::of_class, schema::Text(),
            "Of which class, as labels write it; not of mean_absolute_error.");
    s.Field("at_least", &QualityObjective::at_least, schema::Share(0, 0.99999),
            "What recall, precision or f1 has to be.");
    s.Field("at_most", &QualityObjective::at_most, schema::Number(0, 1e300),
            "What mean_absolute_error may be.");
    s.Check([](const QualityObjective& objective, schema::Problems& problems) {
      if (objective.measure == Measure::kMeanAbsoluteError) {
        if (!objective.of_class.empty()) problems.Add("class", "is of recall, precision and f1");
        if (!(objective.at_most > 0) || objective.at_least != 0)
          problems.Add("at_most", "mean_absolute_error needs at_most, above 0, and no at_least");
        return;
      }
      if (objective.of_class.empty()) problems.Add("class", "say of which class, as fraud");
      if (!(objective.at_least > 0) || objective.at_most != 0)
        problems.Add("at_least", "recall, precision and f1 need at_least, above 0, and no at_most");
    });
    return s;
  }();
  return table;
}

const schema::Struct<Objectives>& ObjectivesSchema() {
  static const auto table = [] {
    schema::Struct<Objectives> s(
        "Objectives",
        "What is asked of the model; alarms say when it is not met (docs/alarms.md).");
    s.Field("availability", &Objectives::availability, schema::Share(0, 0.99999),
            "The share of answers that are no server error; 0 = not asked.");
    s.Field("latency", &Objectives::latency, schema::Optional(schema::Of(LatencyObjectiveSchema())),
            "How fast answers have to be; absent = not asked.");
    s.Field("accuracy", &Objectives::accuracy, schema::Share(0, 0.99999),
            "The share of predictions that are right by their labels; 0 = not asked.");
    s.Field("quality", &Objectives::quality,
            schema::List(schema::Of(QualityObjectiveSchema()), 0, 20),
            "What else is asked of answers by their labels.");
    s.Field("traffic", &Objectives::traffic, schema::Boolean(),
            "Whether it is an alarm when requests stop coming.");
    return s;
  }();
  return table;
}

const schema::Struct<DriftConfig>& DriftConfigSchema() {
  static const auto table = [] {
    schema::Struct<DriftConfig> s("DriftConfig", "How drift from the reference is looked for.");
    s.Field("enabled", &DriftConfig::enabled, schema::Boolean(), "Whether it is looked for.");
    s.Field("tolerance", &DriftConfig::tolerance, schema::Number(0, 10),
            "How far the mean of a number may move before it counts, in standard deviations of the "
            "reference; its spread likewise, as a share.");
    s.Field("share_tolerance", &DriftConfig::share_tolerance, schema::Share(),
            "How far the share of a class, of missing values or of wrong answers may move, in "
            "points.");
    s.Field("window", &DriftConfig::window, schema::Integer<size_t>(100, 1'000'000),
            "Requests that the distances are computed of.");
    return s;
  }();
  return table;
}

const schema::Struct<SchemaConfig>& SchemaConfigSchema() {
  static const auto table = [] {
    using From = SchemaConfig::From;
    schema::Struct<SchemaConfig> s("SchemaConfig",
                                   "What the model's inputs have to look like (docs/schema.md).");
    s.Field("enabled", &SchemaConfig::enabled, schema::Boolean(),
            "Whether inputs are held against a schema.");
    s.Field("from", &SchemaConfig::from,
            schema::Enum<From>({{"first_requests", From::kFirstRequests}, {"file", From::kFile}}),
            "Made of the first requests of each version, or read from a file.");
    s.Field("requests", &SchemaConfig::requests, schema::Integer<size_t>(100, 1'000'000),
            "How many requests make a schema of first_requests.");
    s.Field("margin", &SchemaConfig::margin, schema::Share(),
            "How much wider ranges are made than the values that were seen, on both sides, as a "
            "share of their width; never across zero.");
    s.Field("path", &SchemaConfig::path, schema::Text(),
            "The file: a schema (.yaml, .yml, .json), or a table it is made of (.csv, .jsonl, "
            ".ndjson, .npz).");
    s.Field("accepted_share", &SchemaConfig::accepted_share, schema::Share(),
            "The share of rows that may break the schema without an alarm.");
    s.Check([](const SchemaConfig& config, schema::Problems& problems) {
      if (config.from == From::kFile && config.path.empty())
        problems.Add("path", "from: file needs path, a schema or a table");
      if (config.from != From::kFile && !config.path.empty())
        problems.Add("path", "is read with from: file alone");
    });
    return s;
  }();
  return table;
}

const schema::Struct<SegmentRule>& SegmentRuleSchema() {
  static const auto table = [] {
    schema::Struct<SegmentRule> s("SegmentRule",
                                  "One way to tell the model's requests apart (docs/quality.md).");
    s.Required(
        "name", &SegmentRule::name, schema::Text(),
        "What it is called in metrics and tables: letters, digits, - and _. Logs "
        "(`segment.NAME` of monitor.logs[].fields) and events (`segments`) say the segment by "
        "it.");
    s.Field(
        "header", &SegmentRule::header, schema::Text(),
        "The request header whose value is the segment, as x-tenant; of gRPC the metadata of that "
        "name.");
    s.Field(
        "input", &SegmentRule::input, schema::Text(),
        "The input of which one value of the first row is the segment; of requests that logs and "
        "events tell of, the feature of that name.");
    s.Field("index", &SegmentRule::index, schema::Integer<size_t>(0, 1'000'000),
            "Which of the row's values, from 0; of requests whose features come as a list without "
            "names, too.");
    s.Field("cuts", &SegmentRule::cuts, schema::List(schema::Number(-1e300, 1e300), 0, 100),
            "Ascending; numbers between two of them are one segment. Empty: every value is one.");
    s.Field("values", &SegmentRule::values, schema::List(schema::Text(), 0, 1000),
            "Those that are segments of their own however late they come.");
    s.Check([](const SegmentRule& rule, schema::Problems& problems) {
      if (!IsSegmentationName(rule.name))
        problems.Add("name", "must be 1 to 40 letters, digits, - and _");
      if (!rule.header.empty() && !rule.input.empty())
        problems.Add("header", "give either header, as x-tenant, or input, the name of an input");
      if (!rule.header.empty() && !rule.cuts.empty())
        problems.Add("cuts", "are not of a header, whose value is its segment");
      if (rule.input.empty() && rule.index != 0) problems.Add("index", "is of an input");
      if (std::adjacent_find(rule.cuts.begin(), rule.cuts.end(), std::greater_equal<>()) !=
          rule.cuts.end())
        problems.Add("cuts", "must ascend");
    });
    return s;
  }();
  return table;
}

const schema::Struct<AlarmBudgetConfig>& AlarmBudgetConfigSchema() {
  static const auto table = [] {
    schema::Struct<AlarmBudgetConfig> s(
        "AlarmBudgetConfig",
        "How many false alarms of drift are accepted, of all models together.");
    s.Field("false_alarms", &AlarmBudgetConfig::false_alarms, schema::NumberAbove(0, 1e6),
            "On average in a period.");
    s.Field("period", &AlarmBudgetConfig::period, schema::Time<std::chrono::hours>(1h),
            "The period.");
    return s;
  }();
  return table;
}

const schema::Struct<LabelOptions>& LabelOptionsSchema() {
  static const auto table = [] {
    schema::Struct<LabelOptions> s("LabelOptions", "Where predictions wait for their labels.");
    s.Field("redis", &LabelOptions::redis, schema::Optional(schema::Of(RedisOptionsSchema())),
            "A Redis that several processes share, so that a label may come to another one than "
            "its prediction did (docs/labels.md); absent = the database in data_dir.");
    return s;
  }();
  return table;
}

}  // namespace

const schema::Struct<AlarmOptions>& AlarmOptionsSchema() {
  static const auto table = [] {
    schema::Struct<AlarmOptions> s("AlarmOptions", "When findings become alarms.");
    s.Field("evaluation_interval", &AlarmOptions::evaluation_interval,
            schema::Time<milliseconds>(100ms, 5min), "How often everything watched is looked at.");
    s.Field(
        "for", &AlarmOptions::pending_for, schema::Time<milliseconds>(0ms, 24h),
        "How long a threshold has to be passed before the alarm fires: accuracy, quality, traffic "
        "stopped, capture loss, schema violations. Burn rates and drift have their own "
        "evidence in time and fire at once.");
    s.Field("keep_firing_for", &AlarmOptions::keep_firing_for, schema::Time<milliseconds>(0ms, 24h),
            "How long all has to be well before the alarm is resolved.");
    s.Field(
        "capture_loss_ticket", &AlarmOptions::capture_loss_ticket, schema::Share(0, 1),
        "Share of events, log lines, labels or database rows lost within ten minutes that is an "
        "alarm of severity ticket.");
    s.Field("capture_loss_page", &AlarmOptions::capture_loss_page, schema::Share(0, 1),
            "The same, of severity page.");
    s.Check([](const AlarmOptions& o, schema::Problems& problems) {
      if (o.capture_loss_page < o.capture_loss_ticket)
        problems.Add("capture_loss_page", "must not be below capture_loss_ticket");
    });
    return s;
  }();
  return table;
}

const schema::Struct<MonitorConfig>& MonitorConfigSchema() {
  static const auto table = [] {
    schema::Struct<MonitorConfig> s("MonitorConfig", "What is watched of one model.");
    s.Field("enabled", &MonitorConfig::enabled, schema::Boolean(),
            "Whether the model's requests are watched at all.");
    s.Field("prediction_output", &MonitorConfig::prediction_output, schema::Text(),
            "The output that labels are compared with. Empty: the first integer or text output of "
            "one value a row, "
            "otherwise the class with the highest score, otherwise the first value.");
    s.Field("signature", &MonitorConfig::signature, schema::Text(),
            "Of a model with several signatures, the one whose inputs and answers are watched; "
            "calls of "
            "others count as requests alone. Empty: the model's default.");
    s.Field("window", &MonitorConfig::window, schema::Time<seconds>(1s, 24h),
            "Length of one window of the profiles.");
    s.Field("label_timeout", &MonitorConfig::label_timeout, schema::Time<seconds>(1s, 24h * 365),
            "How long a prediction waits for its label.");
    s.Field("max_join_rate", &MonitorConfig::max_join_rate_per_second, schema::NumberAbove(0, 1e6),
            "Predictions a second that are kept for labels; beyond it a share is kept by hash of "
            "the request id.");
    s.Nested("objectives", &MonitorConfig::objectives, ObjectivesSchema(),
             "What is asked of the model.");
    s.Nested("reference", &MonitorConfig::reference, ReferenceConfigSchema(),
             "What later requests are compared with.");
    s.Nested("drift", &MonitorConfig::drift, DriftConfigSchema(), "How drift is looked for.");
    s.Nested("schema", &MonitorConfig::schema, SchemaConfigSchema(),
             "What the model's inputs have to look like.");
    s.Field(
        "task", &MonitorConfig::task,
        schema::Enum<QualityTask>({{"auto", QualityTask::kAuto},
                                   {"classification", QualityTask::kClassification},
                                   {"regression", QualityTask::kRegression}}),
        "What labels are held against: classes, or numbers. auto: numbers where the prediction is "
        "one floating-point value a row, or has a fraction in a log.");
    s.Field("segments", &MonitorConfig::segments,
            schema::List(schema::Of(SegmentRuleSchema()), 0, PredictionEvent::kMaxSegmentations),
            "How requests are told apart, to be counted by segment.");
    s.Field("max_segments", &MonitorConfig::max_segments, schema::Integer<size_t>(1, 1000),
            "Segments of the model at most; what comes later is counted together as (other).");
    s.Check([](const MonitorConfig& config, schema::Problems& problems) {
      std::set<std::string> names;
      for (const SegmentRule& rule : config.segments) {
        if (!names.insert(rule.name).second)
          problems.Add("segments", StrCat("two have the name ", rule.name));
      }
    });
    return s;
  }();
  return table;
}

namespace {

const schema::Struct<EdgeOptions>& EdgeOptionsSchema() {
  static const auto table = [] {
    schema::Struct<EdgeOptions> s("Edges", "Edges whose profiles are taken (docs/edges.md).");
    s.Field("max", &EdgeOptions::max, schema::Integer<size_t>(1, 10'000),
            "Edges at once; a further one takes the place of one that is silent, or is refused.");
    s.Field("forget_after", &EdgeOptions::forget_after, schema::Time<seconds>(1min, 24h * 30),
            "How long an edge is shown that is silent.");
    return s;
  }();
  return table;
}

}  // namespace

const schema::Struct<MonitorOptions>& MonitorOptionsSchema() {
  static const auto table = [] {
    schema::Struct<MonitorOptions> s("MonitorOptions", "The monitor of the whole process.");
    s.Field("ring", &MonitorOptions::ring_bytes, schema::Bytes<size_t>(64 << 10, 1 << 30),
            "Buffer between each serving thread and the monitor; when it is full, events are "
            "dropped and counted.");
    s.Field("poll", &MonitorOptions::poll, schema::Time<milliseconds>(1ms, 1s),
            "How often the buffers are emptied.");
    s.Field("flush", &MonitorOptions::flush, schema::Time<milliseconds>(10ms, 1min),
            "How often predictions and labels are written to the database.");
    s.Field("wide_input", &MonitorOptions::wide_input, schema::Integer<size_t>(1, 1'000'000),
            "Inputs with more values than this are profiled from a sample of the requests.");
    s.Field("history", &MonitorOptions::history, schema::Time<std::chrono::hours>(1h),
            "How long windows are kept.");
    s.Nested("alarm_budget", &MonitorOptions::alarm_budget, AlarmBudgetConfigSchema(),
             "False alarms of drift that are accepted.");
    s.Nested("labels", &MonitorOptions::labels, LabelOptionsSchema(),
             "Where predictions wait for their labels.");
    s.Field("edges", &MonitorOptions::edges, schema::Optional(schema::Of(EdgeOptionsSchema())),
            "Profiles that edges send to the admin port are taken; absent = they are not.");
    return s;
  }();
  return table;
}

}  // namespace leadsman
