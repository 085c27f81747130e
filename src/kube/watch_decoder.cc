#include "kube/watch_decoder.h"

#include <optional>
#include <utility>

#include <nlohmann/json.hpp>

#include "base/strings.h"
#include "kube/api_failure.h"

namespace leadsman::kube {
namespace {

std::optional<WatchEvent::Type> TypeOf(const Json& type) {
  if (type == "ADDED") return WatchEvent::Type::kAdded;
  if (type == "MODIFIED") return WatchEvent::Type::kModified;
  if (type == "DELETED") return WatchEvent::Type::kDeleted;
  if (type == "BOOKMARK") return WatchEvent::Type::kBookmark;
  return std::nullopt;
}

}  // namespace

Status WatchDecoder::Feed(std::string_view bytes, const Take& take) {
  while (!bytes.empty()) {
    const size_t end = bytes.find('\n');
    const std::string_view piece = bytes.substr(0, end);
    if (begun_.size() + piece.size() > max_event_bytes_) {
      return ResourceExhaustedError(
          StrCat("an event of the watch is larger than ", max_event_bytes_, " bytes"));
    }
    if (end == std::string_view::npos) {
      begun_ += piece;
      return OkStatus();
    }
    bytes.remove_prefix(end + 1);
    if (begun_.empty()) {
      RETURN_IF_ERROR(TakeLine(piece, take));
      continue;
    }
    begun_ += piece;
    const std::string line = std::exchange(begun_, {});
    RETURN_IF_ERROR(TakeLine(line, take));
  }
  return OkStatus();
}

Status WatchDecoder::TakeLine(std::string_view line, const Take& take) {
  if (Trim(line).empty()) return OkStatus();
  auto json = ParseJsonText(line);
  if (!json.ok())
    return DataLossError(StrCat("the watch sent no event: ", json.status().message()));
  if (!json->is_object()) return DataLossError("the watch sent JSON that is no event");
  const auto type = json->find("type");
  const auto object = json->find("object");
  if (type == json->end() || object == json->end() || !object->is_object()) {
    return DataLossError("the watch sent an event without a type or an object");
  }
  if (*type == "ERROR") return FailureOf(*object).ToStatus("the watch ended");
  const auto known = TypeOf(*type);
  if (!known) {
    return DataLossError(
        StrCat("the watch sent an event of the unknown type ",
               CutUtf8(type->dump(-1, ' ', false, Json::error_handler_t::replace), 100)));
  }
  return take({*known, Object(std::move(*object))});
}

}  // namespace leadsman::kube
