#pragma once

#include <cstddef>
#include <span>

#include "base/status.h"
#include "base/unique_fd.h"

namespace leadsman::python {

/// Memory that a child process can map, too, given its descriptor. Its size is sealed: a child that shortened it would
/// have the server run into pages that are not there. Pages cost memory only once they are written to. Movable.
class SharedRegion {
 public:
  SharedRegion() = default;
  /// RESOURCE_EXHAUSTED when there is no memory, or no descriptor left.
  static Result<SharedRegion> Create(size_t bytes);
  SharedRegion(SharedRegion&& other) noexcept;
  SharedRegion& operator=(SharedRegion&& other) noexcept;
  ~SharedRegion();

  int fd() const { return fd_.get(); }
  size_t size() const { return size_; }
  std::span<char> bytes() { return {data_, size_}; }
  std::span<const char> bytes() const { return {data_, size_}; }

 private:
  UniqueFd fd_;
  char* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace leadsman::python
