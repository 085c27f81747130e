#include "kube/object.h"

#include <utility>

#include <nlohmann/json.hpp>

#include "base/strings.h"

namespace leadsman::kube {
namespace {

/// Schemas of CustomResourceDefinitions are the deepest that there is, and stay far below.
constexpr int kMaxDepth = 256;

bool NestedTooDeep(std::string_view text) {
  int depth = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      if (++depth > kMaxDepth) return true;
    } else if (c == '}' || c == ']') {
      --depth;
    }
  }
  return false;
}

const Json* Member(const Json& in, std::string_view name) {
  if (!in.is_object()) return nullptr;
  const auto it = in.find(name);
  return it == in.end() ? nullptr : &*it;
}

std::string_view TextOf(const Json* value) {
  if (value == nullptr || !value->is_string()) return {};
  return value->get_ref<const std::string&>();
}

}  // namespace

Result<Json> ParseJsonText(std::string_view text) {
  if (NestedTooDeep(text)) {
    return InvalidArgumentError(StrCat("the JSON is nested deeper than ", kMaxDepth, " levels"));
  }
  Json json = Json::parse(text, nullptr, false);
  if (json.is_discarded()) return InvalidArgumentError("this is no JSON");
  return json;
}

Object::Object() {
  static const std::shared_ptr<const Json> empty = std::make_shared<Json>(Json::object());
  document_ = empty;
}

// Not made const: Take() moves out of it.
Object::Object(Json document) : document_(std::make_shared<Json>(std::move(document))) {}

Json Object::Take() && {
  const std::shared_ptr<const Json> document = std::exchange(document_, Object().document_);
  if (document.use_count() > 1) return *document;
  return std::move(const_cast<Json&>(*document));
}

Result<Object> Object::Parse(std::string_view text) {
  ASSIGN_OR_RETURN(Json json, ParseJsonText(text));
  if (!json.is_object()) return InvalidArgumentError("this is JSON, but no object");
  return Object(std::move(json));
}

std::string Object::key() const { return ObjectKey(ns(), name()); }

const Json* Object::Find(std::string_view pointer) const {
  const Json* at = document_.get();
  while (at != nullptr && !pointer.empty()) {
    if (pointer.front() == '/') pointer.remove_prefix(1);
    const std::string_view step = pointer.substr(0, pointer.find('/'));
    pointer.remove_prefix(step.size());
    if (at->is_array()) {
      const auto index = ParseInt64(step);
      at = index && *index >= 0 && size_t(*index) < at->size() ? &(*at)[size_t(*index)] : nullptr;
    } else if (step.find('~') == std::string_view::npos) {
      at = Member(*at, step);
    } else {  // "~1" stands for '/', "~0" for '~'
      std::string name;
      for (size_t i = 0; i < step.size(); ++i) {
        const bool escape = step[i] == '~' && i + 1 < step.size();
        name += !escape ? step[i] : step[i + 1] == '1' ? '/' : '~';
        if (escape) ++i;
      }
      at = Member(*at, name);
    }
  }
  return at;
}

std::string_view Object::Text(std::string_view pointer) const { return TextOf(Find(pointer)); }

int64_t Object::Number(std::string_view pointer, int64_t otherwise) const {
  const Json* value = Find(pointer);
  return value != nullptr && value->is_number_integer() ? value->get<int64_t>() : otherwise;
}

std::string_view Object::Metadata(std::string_view field) const {
  const Json* metadata = Member(*document_, "metadata");
  return metadata == nullptr ? std::string_view() : TextOf(Member(*metadata, field));
}

std::string_view Object::In(std::string_view map, std::string_view key) const {
  const Json* metadata = Member(*document_, "metadata");
  const Json* found = metadata == nullptr ? nullptr : Member(*metadata, map);
  return found == nullptr ? std::string_view() : TextOf(Member(*found, key));
}

std::string ObjectKey(std::string_view ns, std::string_view name) {
  return ns.empty() ? std::string(name) : StrCat(ns, "/", name);
}

}  // namespace leadsman::kube
