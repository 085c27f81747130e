#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"

namespace leadsman::intake {

/// What a CloudEvent of a model server tells of.
enum class CloudEventKind : uint8_t { kRequest, kResponse, kFeedback, kReward, kOther };
inline constexpr size_t kCloudEventKinds = 5;
std::string_view CloudEventKindName(CloudEventKind kind);  ///< "request", …
/// By the type: org.kubeflow.serving.inference.request, io.seldon.serving.inference.response, io.seldon.serving.feedback, …
CloudEventKind KindOfCloudEventType(std::string_view type);

/// One CloudEvent 1.0 (or 0.3), whichever way it came. Texts point into what it was read from.
struct CloudEvent {
  /// Bytes of an attribute, of which some are kept until the call's other half comes. Longer ones make it no event.
  static constexpr size_t kMaxAttribute = 512;

  std::string_view type;
  std::string_view id;
  std::string_view source;
  std::string_view time;
  std::string_view
      request_id;  ///< Seldon's own, which both events of a call share; KServe's share the id
  std::string_view model;  ///< inferenceservicename; else Seldon's modelid
  std::string_view space;  ///< namespace
  std::string_view component;
  std::string_view endpoint;
  std::string_view content_type;  ///< of the data
  std::string_view data;

  CloudEventKind kind() const { return KindOfCloudEventType(type); }
  /// What request and response have in common.
  std::string_view call_id() const { return request_id.empty() ? id : request_id; }
};

/// A CloudEvent with its texts.
class CloudEventCopy {
 public:
  explicit CloudEventCopy(const CloudEvent& event);
  CloudEventCopy(const CloudEventCopy&) = delete;
  CloudEventCopy& operator=(const CloudEventCopy&) = delete;

  const CloudEvent& event() const { return event_; }
  size_t bytes() const { return sizeof(*this) + bytes_.capacity(); }

 private:
  CloudEvent event_;
  std::string bytes_;
};

/// A header of an HTTP request by its name in small letters; empty when it is absent.
using HeaderOf = std::function<std::string_view(std::string_view name)>;

/// Whether the body holds whole events: application/cloudevents+json, application/cloudevents-batch+json.
bool IsStructuredCloudEvent(std::string_view content_type);

/// Of the binary mode: attributes in headers, the data is the body. INVALID_ARGUMENT names the header that is missing.
Result<CloudEvent> CloudEventOfHeaders(const HeaderOf& header, std::string_view body);

/// Reads the structured mode and batches of it. Confined to one thread; keeps its buffers.
class CloudEventReader {
 public:
  static constexpr size_t kMaxBatch = 10'000;

  CloudEventReader();
  ~CloudEventReader();
  CloudEventReader(const CloudEventReader&) = delete;
  CloudEventReader& operator=(const CloudEventReader&) = delete;

  /// Calls `visit` for each event, valid during the call; for one that is none, with nothing. False: the body is no JSON of
  /// events at all, or holds more than kMaxBatch.
  bool Read(std::string_view body, const std::function<void(const CloudEvent*)>& visit);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace leadsman::intake
