#include "gateway/field_list.h"

namespace leadsman::gateway {

void FieldList::Add(std::string_view name, std::string_view value, bool secret) {
  Place place;
  place.name = static_cast<uint32_t>(text_.size());
  text_.append(name);
  place.value = static_cast<uint32_t>(text_.size());
  text_.append(value);
  place.end = static_cast<uint32_t>(text_.size());
  place.secret = secret;
  places_.push_back(place);
}

void FieldList::Clear() {
  text_.clear();
  places_.clear();
}

std::vector<H2Field> FieldList::View() const {
  std::vector<H2Field> fields;
  fields.reserve(places_.size());
  const std::string_view text = text_;
  for (const Place& place : places_)
    fields.push_back({text.substr(place.name, place.value - place.name),
                      text.substr(place.value, place.end - place.value), place.secret});
  return fields;
}

std::string_view ValueOf(H2Fields fields, std::string_view name) {
  for (const H2Field& field : fields) {
    if (field.name == name) return field.value;
  }
  return {};
}

}  // namespace leadsman::gateway
