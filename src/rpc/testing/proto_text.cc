#include "rpc/testing/proto_text.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>
#include <google/protobuf/dynamic_message.h>
#include <google/protobuf/text_format.h>

#include <memory>

#include "base/check.h"

namespace leadsman::rpc {

extern const unsigned char kDescriptorSet[];
extern const size_t kDescriptorSetSize;

namespace {

std::unique_ptr<google::protobuf::Message> New(const std::string& type) {
  static auto* pool = [] {
    auto* made = new google::protobuf::DescriptorPool();
    google::protobuf::FileDescriptorSet set;
    CHECK(set.ParseFromArray(kDescriptorSet, static_cast<int>(kDescriptorSetSize)));
    for (const auto& file : set.file()) CHECK(made->BuildFile(file) != nullptr);
    return made;
  }();
  static auto* factory = new google::protobuf::DynamicMessageFactory(pool);
  const google::protobuf::Descriptor* descriptor = pool->FindMessageTypeByName(type);
  CHECK(descriptor != nullptr);
  return std::unique_ptr<google::protobuf::Message>(factory->GetPrototype(descriptor)->New());
}

}  // namespace

std::string FromText(const std::string& type, const std::string& text) {
  auto message = New(type);
  CHECK(google::protobuf::TextFormat::ParseFromString(text, message.get()));
  return message->SerializeAsString();
}

std::string ToText(const std::string& type, std::string_view bytes) {
  auto message = New(type);
  if (!message->ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return "(malformed)";
  google::protobuf::TextFormat::Printer printer;
  printer.SetSingleLineMode(true);
  printer.SetExpandAny(true);
  std::string text;
  printer.PrintToString(*message, &text);
  while (!text.empty() && text.back() == ' ') text.pop_back();
  return text;
}

}  // namespace leadsman::rpc
