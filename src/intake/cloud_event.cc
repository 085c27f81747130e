#include "intake/cloud_event.h"

#include <simdjson.h>

#include <array>
#include <utility>

#include "base/base64.h"
#include "base/strings.h"

namespace leadsman::intake {
namespace {

namespace dom = simdjson::dom;
using simdjson::SUCCESS;

struct Attribute {
  std::string_view name;
  std::string_view CloudEvent::*member;
};
constexpr std::array<Attribute, 9> kAttributes = {{{"type", &CloudEvent::type},
                                                   {"id", &CloudEvent::id},
                                                   {"source", &CloudEvent::source},
                                                   {"time", &CloudEvent::time},
                                                   {"requestid", &CloudEvent::request_id},
                                                   {"inferenceservicename", &CloudEvent::model},
                                                   {"namespace", &CloudEvent::space},
                                                   {"component", &CloudEvent::component},
                                                   {"endpoint", &CloudEvent::endpoint}}};

std::string_view MediaType(std::string_view content_type) {
  return Trim(content_type.substr(0, content_type.find(';')));
}

std::string_view TextOf(dom::object object, std::string_view name) {
  std::string_view text;
  if (object[name].get_string().get(text) != SUCCESS) return {};
  return text;
}

/// The first attribute that is.
std::optional<std::string_view> TooLong(const CloudEvent& event) {
  for (const Attribute& attribute : kAttributes)
    if ((event.*attribute.member).size() > CloudEvent::kMaxAttribute) return attribute.name;
  if (event.content_type.size() > CloudEvent::kMaxAttribute) return "content-type";
  return std::nullopt;
}

}  // namespace

std::string_view CloudEventKindName(CloudEventKind kind) {
  constexpr std::array<std::string_view, kCloudEventKinds> kNames = {"request", "response",
                                                                     "feedback", "reward", "other"};
  return kNames[static_cast<size_t>(kind)];
}

CloudEventKind KindOfCloudEventType(std::string_view type) {
  constexpr std::array<std::pair<std::string_view, CloudEventKind>, 9> kTypes = {
      {{"org.kubeflow.serving.inference.request", CloudEventKind::kRequest},
       {"org.kubeflow.serving.inference.response", CloudEventKind::kResponse},
       {"io.seldon.serving.inference.request", CloudEventKind::kRequest},
       {"io.seldon.serving.inference.response", CloudEventKind::kResponse},
       {"io.seldon.serving.feedback", CloudEventKind::kFeedback},
       {"io.seldon.serving.inference.feedback", CloudEventKind::kFeedback},
       {"org.kubeflow.serving.inference.feedback", CloudEventKind::kFeedback},
       {"io.seldon.serving.reward", CloudEventKind::kReward},
       {"io.seldon.serving.inference.reward", CloudEventKind::kReward}}};
  for (const auto& [name, kind] : kTypes)
    if (name == type) return kind;
  return CloudEventKind::kOther;
}

CloudEventCopy::CloudEventCopy(const CloudEvent& event) : event_(event) {
  size_t size = event.content_type.size() + event.data.size();
  for (const Attribute& attribute : kAttributes) size += (event.*attribute.member).size();
  bytes_.reserve(size);  // what points into it does not move
  auto keep = [this](std::string_view& text) {
    const size_t at = bytes_.size();
    bytes_ += text;
    text = std::string_view(bytes_).substr(at);
  };
  for (const Attribute& attribute : kAttributes) keep(event_.*attribute.member);
  keep(event_.content_type);
  keep(event_.data);
}

bool IsStructuredCloudEvent(std::string_view content_type) {
  const std::string_view type = MediaType(content_type);
  return EqualsIgnoreCase(type, "application/cloudevents+json") ||
         EqualsIgnoreCase(type, "application/cloudevents-batch+json");
}

Result<CloudEvent> CloudEventOfHeaders(const HeaderOf& header, std::string_view body) {
  CloudEvent event;
  for (const Attribute& attribute : kAttributes)
    event.*attribute.member = header(StrCat("ce-", attribute.name));
  if (event.model.empty()) event.model = header("ce-modelid");
  event.content_type = header("content-type");
  if (std::optional<std::string_view> name = TooLong(event))
    return InvalidArgumentError(StrCat("the event's ", *name, " is longer than ",
                                       CloudEvent::kMaxAttribute, " bytes; shorten it"));
  event.data = body;
  for (const auto& [name, value] :
       {std::pair("ce-type", event.type), std::pair("ce-id", event.id)}) {
    if (value.empty())
      return InvalidArgumentError(StrCat("the header ", name,
                                         " is missing: this port takes CloudEvents over HTTP, in "
                                         "the binary mode with ce-… headers, or as "
                                         "application/cloudevents+json"));
  }
  return event;
}

class CloudEventReader::Impl {
 public:
  bool Read(std::string_view body, const std::function<void(const CloudEvent*)>& visit) {
    dom::element root;
    dom::array batch;
    if (parser_.parse(body.data(), body.size()).get(root) != SUCCESS) return false;
    if (root.get_array().get(batch) != SUCCESS) {
      if (!root.is_object()) return false;
      Visit(root, visit);
      return true;
    }
    size_t size = 0;
    for ([[maybe_unused]] dom::element element : batch) ++size;
    if (size > kMaxBatch) return false;
    for (dom::element element : batch) Visit(element, visit);
    return true;
  }

 private:
  void Visit(dom::element element, const std::function<void(const CloudEvent*)>& visit) {
    dom::object object;
    CloudEvent event;
    const bool sound = element.get_object().get(object) == SUCCESS && ReadEvent(object, event);
    visit(sound ? &event : nullptr);
  }

  bool ReadEvent(dom::object object, CloudEvent& event) {
    for (const Attribute& attribute : kAttributes)
      event.*attribute.member = TextOf(object, attribute.name);
    if (event.model.empty()) event.model = TextOf(object, "modelid");
    event.content_type = TextOf(object, "datacontenttype");
    if (event.type.empty() || event.id.empty() || TooLong(event)) return false;
    dom::element data;
    if (object["data_base64"].get(data) == SUCCESS) {
      std::string_view text;
      if (data.get_string().get(text) != SUCCESS || !DecodeBase64(text, data_)) return false;
      event.data = data_;
    } else if (object["data"].get(data) == SUCCESS) {
      // A text is the data itself, as CSV; anything else is JSON, which is read once more as a body.
      std::string_view text;
      if (data.get_string().get(text) == SUCCESS) {
        event.data = text;
      } else {
        data_ = simdjson::to_string(data);
        event.data = data_;
      }
    }
    return true;
  }

  dom::parser parser_;
  std::string data_;
};

CloudEventReader::CloudEventReader() : impl_(std::make_unique<Impl>()) {}
CloudEventReader::~CloudEventReader() = default;

bool CloudEventReader::Read(std::string_view body,
                            const std::function<void(const CloudEvent*)>& visit) {
  return impl_->Read(body, visit);
}

}  // namespace leadsman::intake
