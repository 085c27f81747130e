#pragma once

#include <compare>
#include <functional>
#include <ostream>
#include <utility>

namespace leadsman {

/// An id that cannot be mistaken for another one of the same representation.
///   using ModelName = NamedType<std::string, struct ModelNameTag>;
template <typename T, typename Tag>
class NamedType {
 public:
  NamedType() = default;
  explicit NamedType(T value) : value_(std::move(value)) {}
  const T& value() const { return value_; }
  friend auto operator<=>(const NamedType&, const NamedType&) = default;
  friend bool operator==(const NamedType&, const NamedType&) = default;
  friend std::ostream& operator<<(std::ostream& out, const NamedType& v) { return out << v.value_; }

 private:
  T value_{};
};

}  // namespace leadsman

template <typename T, typename Tag>
struct std::hash<leadsman::NamedType<T, Tag>> {
  size_t operator()(const leadsman::NamedType<T, Tag>& v) const {
    return std::hash<T>()(v.value());
  }
};
