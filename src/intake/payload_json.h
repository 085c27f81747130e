#pragma once

#include <simdjson.h>

#include <array>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "base/strings.h"

// Internal to the readers of bodies: what JSON and CSV of model servers are taken apart with.

namespace leadsman::intake::payload_json {

namespace dom = simdjson::dom;
using simdjson::SUCCESS;

/// The first of `names` that the object has.
template <typename Names>
std::optional<dom::element> FirstOf(dom::object object, const Names& names) {
  dom::element found;
  for (std::string_view name : names)
    if (object[name].get(found) == SUCCESS) return found;
  return std::nullopt;
}

inline std::optional<dom::element> Member(dom::object object, std::string_view name) {
  return FirstOf(object, std::array<std::string_view, 1>{name});
}

inline std::optional<dom::array> ArrayOf(std::optional<dom::element> element) {
  dom::array array;
  if (!element || element->get_array().get(array) != SUCCESS) return std::nullopt;
  return array;
}

inline std::optional<dom::object> ObjectOf(std::optional<dom::element> element) {
  dom::object object;
  if (!element || element->get_object().get(object) != SUCCESS) return std::nullopt;
  return object;
}

inline std::optional<dom::element> First(dom::array array) {
  auto begin = array.begin();
  if (begin == array.end()) return std::nullopt;
  return *begin;
}

inline size_t CountOf(dom::array array) {
  constexpr size_t kCounted = 0xFFFFFF;  // where simdjson's own count ends
  size_t size = array.size();
  if (size < kCounted) return size;
  size = 0;
  for ([[maybe_unused]] dom::element element : array) ++size;
  return size;
}

inline bool IsNested(dom::element element) {
  return element.type() == dom::element_type::ARRAY || element.type() == dom::element_type::OBJECT;
}

inline std::optional<double> NumberOf(dom::element element) {
  double number = 0;
  bool truth = false;
  if (element.get_double().get(number) == SUCCESS) return number;
  if (element.get_bool().get(truth) == SUCCESS) return truth ? 1 : 0;
  return std::nullopt;
}

/// The tensors of an answer or a request of the Open Inference Protocol.
inline std::optional<dom::array> TensorsOf(dom::object root, std::string_view name) {
  std::optional<dom::array> list = ArrayOf(Member(root, name));
  if (!list) return std::nullopt;
  std::optional<dom::element> first = First(*list);
  std::optional<dom::object> tensor = first ? ObjectOf(first) : std::nullopt;
  if (!tensor || !Member(*tensor, "datatype")) return std::nullopt;
  return list;
}

/// Rows and values a row, by "shape"; a tensor of one dimension has a row for each value.
struct TensorShape {
  uint32_t rows = 0;
  size_t per_row = 0;
};
inline std::optional<TensorShape> ShapeOf(dom::object tensor) {
  std::optional<dom::array> list = ArrayOf(Member(tensor, "shape"));
  if (!list) return std::nullopt;
  uint64_t rows = 1, per_row = 1;
  bool first = true;
  for (dom::element element : *list) {
    uint64_t size = 0;
    if (element.get_uint64().get(size) != SUCCESS || size > UINT32_MAX) return std::nullopt;
    if (first) {
      rows = size;
    } else if (per_row *= size; per_row > UINT32_MAX) {
      return std::nullopt;
    }
    first = false;
  }
  return TensorShape{static_cast<uint32_t>(rows), static_cast<size_t>(per_row)};
}

/// Of a tensor whose values stand behind the JSON: takes them from there. False: there are not so many bytes. Empty: they stand
/// elsewhere, as in shared memory.
inline bool TakeBehind(dom::object tensor, std::string_view& behind, std::string_view& bytes) {
  bytes = {};
  std::optional<dom::object> parameters = ObjectOf(Member(tensor, "parameters"));
  std::optional<dom::element> said =
      parameters ? Member(*parameters, "binary_data_size") : std::nullopt;
  uint64_t size = 0;
  if (!said || said->get_uint64().get(size) != SUCCESS) return true;
  if (behind.empty()) return true;  // a capture of the JSON alone
  if (size > behind.size()) return false;
  bytes = behind.substr(0, size);
  behind.remove_prefix(size);
  return true;
}

inline std::string_view DatatypeOf(dom::object tensor) {
  std::string_view datatype;
  std::optional<dom::element> said = Member(tensor, "datatype");
  return said && said->get_string().get(datatype) == SUCCESS ? datatype : std::string_view();
}

/// Calls visit(element) for the values of nested lists, in order, until it says false.
template <typename Visit>
bool VisitFlat(dom::element element, size_t depth, const Visit& visit) {
  std::optional<dom::array> list = ArrayOf(element);
  if (!list) return visit(element);
  if (depth == 0) return false;
  for (dom::element inner : *list)
    if (!VisitFlat(inner, depth - 1, visit)) return false;
  return true;
}

inline bool IsCsv(std::string_view content_type) { return content_type.starts_with("text/csv"); }

/// Calls visit(field) for each field of a line of CSV. Quotes are taken off; a doubled one stays doubled.
template <typename Visit>
void VisitCsv(std::string_view line, const Visit& visit) {
  for (;;) {
    size_t end = 0;
    std::string_view field;
    if (line.starts_with('"')) {
      end = line.find('"', 1);
      while (end != std::string_view::npos && line.substr(end + 1).starts_with('"'))
        end = line.find('"', end + 2);
      if (end == std::string_view::npos) end = line.size();
      field = line.substr(1, end - 1);
      end = line.find(',', end);
    } else {
      end = line.find(',');
      field = Trim(line.substr(0, end));
    }
    visit(field);
    if (end == std::string_view::npos) return;
    line.remove_prefix(end + 1);
  }
}

inline std::optional<double> ParseNumber(std::string_view text) {
  double value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return value;
}

/// The lines that hold something.
inline std::vector<std::string_view> CsvLines(std::string_view body) {
  std::vector<std::string_view> lines;
  for (std::string_view line : Split(body, '\n')) {
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (!Trim(line).empty()) lines.push_back(line);
  }
  return lines;
}

/// A body as JSON, in a parser that is used again.
struct Document {
  dom::parser parser;

  std::optional<dom::element> Parse(std::string_view body) {
    dom::element root;
    if (parser.parse(body.data(), body.size()).get(root) != SUCCESS) return std::nullopt;
    return root;
  }
};

}  // namespace leadsman::intake::payload_json
