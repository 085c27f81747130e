#include "console/label_batch.h"

#include <cmath>

#include <nlohmann/json.hpp>

#include "base/strings.h"

namespace leadsman::console {
namespace {

using Json = nlohmann::json;
/// What the monitor can keep. A label beyond it is refused here, for good: what the monitor refuses
/// is answered with "send it again".
constexpr size_t kMaxText = 255;
constexpr size_t kMaxDetails = 100;

class EntryReader {
 public:
  EntryReader(std::string path, std::vector<std::string>& details)
      : path_(std::move(path)), details_(details) {}

  bool Read(const Json& entry, GroundTruth& out) {
    if (!entry.is_object()) return Fail("", "must be an object with request_id and label");
    bool ok = true;
    for (const auto& [key, value] : entry.items()) {
      if (key == "request_id") {
        ok = ReadId(value, out) && ok;
      } else if (key == "label") {
        ok = ReadLabel(value, out) && ok;
      } else if (key == "row") {
        ok = ReadRow(value, out) && ok;
      } else {
        auto near = DidYouMean(key, {"request_id", "label", "row"});
        ok = Fail(std::string_view(key).substr(0, 64),
                  near ? StrCat("unknown key; did you mean ", *near, "?")
                       : "unknown key; known here: request_id, label and row");
      }
    }
    if (!entry.contains("request_id")) ok = Fail("request_id", "is missing");
    if (!entry.contains("label")) ok = Fail("label", "is missing");
    return ok;
  }

 private:
  bool ReadId(const Json& value, GroundTruth& out) {
    if (!value.is_string()) return Fail("request_id", "must be a text");
    const auto& text = value.get_ref<const std::string&>();
    if (text.empty() || text.size() > kMaxText)
      return Fail("request_id", "must have 1 to 255 bytes");
    out.request_id = text;
    return true;
  }
  bool ReadLabel(const Json& value, GroundTruth& out) {
    if (value.is_string()) {
      out.label = value.get<std::string>();
      if (out.label.empty() || out.label.size() > kMaxText)
        return Fail("label", "must have 1 to 255 bytes");
    } else if (value.is_boolean()) {
      out.label = value.get<bool>() ? "true" : "false";
    } else if (value.is_number_unsigned()) {
      out.label = std::to_string(value.get<uint64_t>());
    } else if (value.is_number_integer()) {
      out.label = std::to_string(value.get<int64_t>());
    } else if (value.is_number_float()) {
      double number = value.get<double>();
      if (!std::isfinite(number)) return Fail("label", "must be a finite number");
      // Predictions of whole classes are kept as integers: 7.0 is the label 7. 2^53 is where
      // doubles lose them.
      bool whole = number == std::floor(number) && std::fabs(number) <= 9007199254740992.0;
      out.label = whole ? std::to_string(static_cast<int64_t>(number)) : StrCat(number);
    } else {
      return Fail("label", "must be a text, a number or a boolean");
    }
    return true;
  }
  bool ReadRow(const Json& value, GroundTruth& out) {
    constexpr uint64_t kRows = PredictionEvent::kMaxPredictions;
    if (!value.is_number_unsigned() || value.get<uint64_t>() >= kRows) {
      return Fail("row", StrCat("must be a whole number from 0 to ", kRows - 1,
                                ": which row of the request; later rows are not kept for labels"));
    }
    out.row = value.get<uint32_t>();
    return true;
  }
  bool Fail(std::string_view field, std::string_view message) {
    if (details_.size() < kMaxDetails) {
      std::string where = path_;
      if (!where.empty() && !field.empty()) where += '.';
      where += field;
      details_.push_back(where.empty() ? std::string(message) : StrCat(where, ": ", message));
    }
    return false;
  }

  std::string path_;
  std::vector<std::string>& details_;
};

}  // namespace

Result<std::vector<GroundTruth>> ParseLabels(std::string_view body, int64_t now_unix_ms,
                                             std::vector<std::string>& details) {
  // A label needs three levels; what is deeper is not built.
  bool too_deep = false;
  Json document;
  try {
    document = Json::parse(body, [&](int depth, Json::parse_event_t, Json&) {
      if (depth > 8) too_deep = true;
      return !too_deep;
    });
  } catch (const Json::exception&) {
    return InvalidArgumentError(
        "the body is not valid JSON; send {\"labels\": [{\"request_id\": \"…\", \"label\": …}]}");
  }
  if (too_deep)
    return InvalidArgumentError(
        "the body is nested too deeply; send {\"labels\": [{\"request_id\": \"…\", \"label\": "
        "…}]}");
  if (!document.is_object())
    return InvalidArgumentError(
        "the body must be an object: {\"labels\": [{\"request_id\": \"…\", \"label\": …}]}");

  std::vector<GroundTruth> labels;
  if (!document.contains("labels")) {
    EntryReader reader("", details);
    GroundTruth label;
    label.unix_ms = now_unix_ms;
    if (reader.Read(document, label)) labels.push_back(std::move(label));
  } else {
    const Json& list = document["labels"];
    if (!list.is_array())
      return InvalidArgumentError("labels: must be a list of {request_id, label}");
    if (document.size() > 1)
      return InvalidArgumentError("the body has other keys beside labels; it must have none");
    if (list.size() > kMaxLabelsPerCall) {
      return InvalidArgumentError(
          StrCat("labels: ", list.size(), " entries; at most ", kMaxLabelsPerCall, " a call"));
    }
    labels.resize(list.size());
    for (size_t i = 0; i < list.size(); ++i) {
      labels[i].unix_ms = now_unix_ms;
      EntryReader(StrCat("labels[", i, "]"), details).Read(list[i], labels[i]);
    }
  }
  if (!details.empty()) return InvalidArgumentError(StrCat("nothing was taken: ", details[0]));
  return labels;
}

}  // namespace leadsman::console
