#include "telemetry/outside_answers.h"

#include <cmath>
#include <string>

#include <nlohmann/json.hpp>

#include "base/strings.h"

namespace leadsman {
namespace {

using Json = nlohmann::json;
using Kind = OutsideReading::Kind;

constexpr size_t kReasonKept = 300;

OutsideReading NoAnswer(std::string reason) {
  OutsideReading reading;
  reading.reason = std::move(reason);
  return reading;
}

/// A text of the answer's; empty when it has none.
std::string TextOf(const Json& json, const char* key) {
  if (!json.is_object()) return "";
  auto found = json.find(key);
  if (found == json.end() || !found->is_string()) return "";
  return ToUtf8(CutUtf8(found->get_ref<const std::string&>(), kReasonKept));
}

/// [time, "1.5"] of a sample.
OutsideReading ReadSample(const Json& sample) {
  if (!sample.is_array() || sample.size() != 2 || !sample[1].is_string())
    return NoAnswer("it is not as of a Prometheus: a sample must be [time, \"number\"]");
  const std::string& text = sample[1].get_ref<const std::string&>();
  OutsideReading reading;
  if (text == "NaN") {
    reading.kind = Kind::kNoData;
    reading.reason = "not a number";
    return reading;
  }
  reading.kind = Kind::kValue;
  if (text == "+Inf" || text == "-Inf") {
    reading.value = text[0] == '+' ? HUGE_VAL : -HUGE_VAL;
    return reading;
  }
  const auto value = ParseDouble(text);
  if (!value || std::isnan(*value))
    return NoAnswer("it is not as of a Prometheus: a sample is no number");
  reading.value = *value;
  return reading;
}

OutsideReading ReadVector(const Json& result) {
  if (!result.is_array()) return NoAnswer("it is not as of a Prometheus: no list of series");
  if (result.empty()) {
    OutsideReading reading;
    reading.kind = Kind::kNoData;
    reading.reason = "the query gives no series";
    return reading;
  }
  if (result.size() > 1) {
    return NoAnswer(StrCat("the query gives ", result.size(),
                           " series and must give one: put sum(…) or max(…) around it"));
  }
  const Json& series = result[0];
  if (!series.is_object() || !series.contains("value"))
    return NoAnswer(
        "the query gives a histogram and must give a number: use histogram_quantile(…)");
  return ReadSample(series["value"]);
}

}  // namespace

OutsideReading ReadPromqlAnswer(std::string_view body) {
  const Json json = Json::parse(body, nullptr, false);
  if (json.is_discarded() || !json.is_object())
    return NoAnswer("it is not JSON as of a Prometheus");
  if (TextOf(json, "status") != "success") {
    const std::string error = TextOf(json, "error");
    return NoAnswer(error.empty() ? "it is not as of a Prometheus: no success" : error);
  }
  auto data = json.find("data");
  if (data == json.end() || !data->is_object() || !data->contains("result"))
    return NoAnswer("it is not as of a Prometheus: no result");
  const std::string type = TextOf(*data, "resultType");
  if (type == "scalar") return ReadSample((*data)["result"]);
  if (type == "vector") return ReadVector((*data)["result"]);
  return NoAnswer(StrCat("the query gives a ", type.empty() ? "?" : CutUtf8(type, 20),
                         " and must give a number now"));
}

OutsideReading ReadWebhookAnswer(std::string_view body) {
  const Json json = Json::parse(body, nullptr, false);
  if (json.is_discarded() || !json.is_object())
    return NoAnswer("its body must be JSON as {\"verdict\": \"pass\"}");
  const std::string verdict = TextOf(json, "verdict");
  OutsideReading reading;
  reading.reason = TextOf(json, "reason");
  if (verdict == "pass") {
    reading.kind = Kind::kPass;
  } else if (verdict == "fail") {
    reading.kind = Kind::kFail;
  } else if (verdict == "hold") {
    reading.kind = Kind::kHold;
  } else {
    return NoAnswer(StrCat("verdict must be pass, fail or hold, not ",
                           verdict.empty() ? "absent" : StrCat("\"", CutUtf8(verdict, 40), "\"")));
  }
  return reading;
}

OutsideReading ReadApprovalAnswer(std::string_view body) {
  const Json json = Json::parse(body, nullptr, false);
  if (json.is_discarded() || !json.is_object())
    return NoAnswer("its body must be JSON as {\"approved\": true}");
  const auto approved = json.find("approved");
  const bool open = approved != json.end() && approved->is_null();
  if (approved == json.end() || !(open || approved->is_boolean()))
    return NoAnswer("approved must be true, false, or null as long as that is not decided");
  OutsideReading reading;
  reading.reason = TextOf(json, "reason");
  reading.kind = open ? Kind::kHold : approved->get<bool>() ? Kind::kPass : Kind::kFail;
  return reading;
}

}  // namespace leadsman
