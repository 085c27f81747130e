#include "kube/api_failure.h"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "base/strings.h"

namespace leadsman::kube {
namespace {

constexpr size_t kLongestMessage = 2000;
constexpr int64_t kLongestWait = 3600;  // seconds

std::optional<std::chrono::seconds> SecondsOf(std::string_view text) {
  const auto seconds = ParseInt64(Trim(text));
  if (!seconds || *seconds < 0) return std::nullopt;
  return std::chrono::seconds(std::min<int64_t>(*seconds, kLongestWait));
}

}  // namespace

StatusCode ApiFailure::code() const {
  if (reason == "Expired" || reason == "Gone") return StatusCode::kOutOfRange;
  switch (http_status) {
    case 401:
      return StatusCode::kUnauthenticated;
    case 403:
      return StatusCode::kPermissionDenied;
    case 404:
      return StatusCode::kNotFound;
    case 405:
    case 406:
      return StatusCode::kUnimplemented;
    case 409:
      return reason == "AlreadyExists" ? StatusCode::kAlreadyExists : StatusCode::kAborted;
    case 410:
      return StatusCode::kOutOfRange;
    case 400:
    case 413:
    case 415:
    case 422:
      return StatusCode::kInvalidArgument;
    case 429:
      return StatusCode::kResourceExhausted;
    case 502:
    case 503:
      return StatusCode::kUnavailable;
    case 504:
      return StatusCode::kDeadlineExceeded;
    default:
      return StatusCode::kInternal;
  }
}

Status ApiFailure::ToStatus(std::string_view doing) const {
  std::string text = StrCat(doing, ": ", message);
  if (http_status == 403 && message.find(" cannot ") != std::string::npos &&
      message.find(" resource ") != std::string::npos) {
    text += "; let a Role or ClusterRole that is bound to it allow this verb on this resource";
  }
  return Status(code(), std::move(text));
}

ApiFailure FailureOf(const Json& status) {
  const Object object(status.is_object() ? status : Json::object());
  ApiFailure failure;
  failure.http_status = int(object.Number("/code", 500));
  failure.reason = object.Text("/reason");
  failure.message = ToUtf8(CutUtf8(object.Text("/message"), kLongestMessage));
  if (failure.message.empty()) {
    failure.message = failure.reason.empty()
                          ? StrCat("the API server answered ", failure.http_status)
                          : failure.reason;
  }
  if (const int64_t seconds = object.Number("/details/retryAfterSeconds"); seconds > 0) {
    failure.retry_after = SecondsOf(StrCat(seconds));
  }
  return failure;
}

ApiFailure ParseFailure(int http_status, std::string_view retry_after, std::string_view body) {
  ApiFailure failure;
  auto json = ParseJsonText(body);
  if (json.ok() && json->is_object() && json->value("kind", Json()) == "Status") {
    failure = FailureOf(*json);
  } else {
    const std::string text = ToUtf8(CutUtf8(Trim(body.substr(0, 4096)), kLongestMessage));
    failure.message = text.empty() ? StrCat("the API server answered ", http_status)
                                   : StrCat("the API server answered ", http_status, ": ", text);
  }
  failure.http_status = http_status;
  if (auto seconds = SecondsOf(retry_after)) failure.retry_after = seconds;
  return failure;
}

}  // namespace leadsman::kube
