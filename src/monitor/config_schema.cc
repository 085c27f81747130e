#include "monitor/config_schema.h"

namespace leadsman {

using std::chrono::milliseconds;
using std::chrono::seconds;
using namespace std::chrono_literals;  // NOLINT: literals

const schema::Struct<MonitorConfig>& MonitorConfigSchema() {
  static const auto table = [] {
    schema::Struct<MonitorConfig> s("MonitorConfig", "What is watched of one model.");
    s.Field("enabled", &MonitorConfig::enabled, schema::Boolean(),
            "Whether the model's requests are watched at all.");
    s.Field("prediction_output", &MonitorConfig::prediction_output, schema::Text(),
            "The output that labels are compared with. Empty: the first integer or text output of "
            "one value a row, "
            "otherwise the class with the highest score, otherwise the first value.");
    s.Field("window", &MonitorConfig::window, schema::Time<seconds>(1s, 24h),
            "Length of one window of the profiles.");
    s.Field("label_timeout", &MonitorConfig::label_timeout, schema::Time<seconds>(1s, 24h * 365),
            "How long a prediction waits for its label.");
    s.Field("max_join_rate", &MonitorConfig::max_join_rate_per_second, schema::NumberAbove(0, 1e6),
            "Predictions a second that are kept for labels; beyond it a share is kept by hash of "
            "the request id.");
    return s;
  }();
  return table;
}

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
    return s;
  }();
  return table;
}

}  // namespace leadsman
