#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "events/segment_rule.h"
#include "monitor/labels/redis_options.h"

namespace leadsman {

struct LatencyObjective {
  std::chrono::milliseconds threshold{0};
  double objective = 0.99;
};

/// What is asked of one measure of labels.
struct QualityObjective {
  enum class Measure { kRecall, kPrecision, kF1, kMeanAbsoluteError };
  Measure measure = Measure::kRecall;
  std::string of_class;  ///< not of the mean absolute error
  double at_least = 0;   ///< of shares
  double at_most = 0;    ///< of the mean absolute error
};

/// What is asked of one model; alarms say when it is not met.
struct Objectives {
  double availability = 0.99;  ///< share of answers that are no server error; 0: not asked
  std::optional<LatencyObjective> latency;
  double accuracy = 0;  ///< by labels; 0: not asked
  std::vector<QualityObjective> quality;
  bool traffic = true;  ///< whether requests that stop coming are an alarm
};

/// What a model's later requests are compared with (monitor/drift/reference.h).
struct ReferenceConfig {
  enum class From { kFirstRequests, kFile, kStable, kWindow };
  From from = From::kFirstRequests;
  size_t requests = 5000;          ///< that are collected, as many at least
  std::chrono::seconds period{0};  ///< and for so long
  std::string path;                ///< of kFile: .csv or .npz
};

struct DriftConfig {
  bool enabled = true;
  double tolerance = 0.03;        ///< of numbers, in the reference's standard deviations
  double share_tolerance = 0.03;  ///< of shares of classes, missing values and errors: points
  size_t window = 1000;           ///< requests that distances are computed of
};

/// What later inputs are held against (monitor/schema/data_schema.h).
struct SchemaConfig {
  enum class From { kFirstRequests, kFile };
  bool enabled = true;
  From from = From::kFirstRequests;
  size_t requests = 5000;        ///< of kFirstRequests
  double margin = 0.1;           ///< of inferred ranges, on both sides
  std::string path;              ///< of kFile: a schema, or a table that it is inferred from
  double accepted_share = 0.01;  ///< of rows that may break it without an alarm
};

/// How many false alarms of drift are accepted, of all models together.
struct AlarmBudgetConfig {
  double false_alarms = 1;
  std::chrono::hours period{24 * 90};
};

/// What a model's labels say: how its answers are measured (monitor/quality/version_quality.h).
enum class QualityTask { kAuto, kClassification, kRegression };

/// Monitoring of one model. Parsed from the configuration (monitor/config_schema.h).
struct MonitorConfig {
  bool enabled = true;
  /// Which output is the prediction that a label is compared with. Empty: the first integer or
  /// string output of one value a row; otherwise the argmax of the first output with several values
  /// a row; otherwise the first value.
  std::string prediction_output;
  /// Of a model with several signatures, the one whose calls' inputs and answers are watched. Empty: the first, which in a
  /// SavedModel is serving_default where there is one. Calls of others count as requests alone.
  std::string signature;
  std::chrono::seconds window{10};           ///< length of one profile window
  std::chrono::seconds label_timeout{3600};  ///< how long a prediction waits for its label
  double max_join_rate_per_second =
      500;  ///< predictions kept for labels; beyond it a share is kept by hash of the id
  Objectives objectives;
  ReferenceConfig reference;
  DriftConfig drift;
  SchemaConfig schema;
  QualityTask task = QualityTask::kAuto;
  std::vector<SegmentRule> segments;
  size_t max_segments = 50;  ///< of all rules together; what comes later is "(other)"
};

/// Where predictions wait for their labels.
struct LabelOptions {
  std::optional<RedisOptions>
      redis;  ///< shared with other processes; absent: in this one's database
};

/// Edges whose profiles are taken (monitor/edges/edge_book.h).
struct EdgeOptions {
  size_t max = 1000;
  std::chrono::seconds forget_after{3600};
};

/// Of the whole process.
struct MonitorOptions {
  std::string database;               ///< SQLite file; empty: in memory, gone with the process
  size_t ring_bytes = 1 << 20;        ///< per thread
  std::chrono::milliseconds poll{5};  ///< how often the collector looks into rings that fill fast
  std::chrono::milliseconds flush{
      1000};               ///< how often predictions and labels are written to the database
  size_t wide_input = 64;  ///< inputs with more values than this are profiled from sampled requests
  std::chrono::hours history{24 * 14};  ///< how long windows are kept
  AlarmBudgetConfig alarm_budget;
  LabelOptions labels;
  std::optional<EdgeOptions> edges;  ///< absent: profiles of others are not taken
  bool keep_intervals = false;       ///< for TakeIntervals. Not read from the file.
};

/// When findings become alarms, of the whole process.
struct AlarmOptions {
  std::chrono::milliseconds evaluation_interval{10'000};
  /// How long a threshold has to be passed (accuracy, traffic, capture loss, schema); the other kinds have their own
  /// evidence in time.
  std::chrono::milliseconds pending_for{60'000};
  std::chrono::milliseconds keep_firing_for{300'000};
  double capture_loss_ticket = 0.001, capture_loss_page = 0.05;
};

}  // namespace leadsman
