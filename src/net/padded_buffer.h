#pragma once

#include <cstdlib>
#include <new>
#include <string_view>

#include "net/http_server.h"

namespace leadsman::net {

/// Bytes in one piece that can grow, with HttpRequest::kBodyPadding readable bytes behind its
/// capacity, so that SIMD parsers may run over the end. Not initialised: memory that nobody wrote
/// to costs nothing. Externally synchronised.
class PaddedBuffer {
 public:
  PaddedBuffer() = default;
  ~PaddedBuffer() { std::free(data_); }
  PaddedBuffer(const PaddedBuffer&) = delete;
  PaddedBuffer& operator=(const PaddedBuffer&) = delete;

  char* data() { return data_; }
  const char* data() const { return data_; }
  size_t capacity() const { return capacity_; }

  /// Keeps the contents, but may move them.
  void Resize(size_t capacity) {
    // realloc moves large blocks by remapping pages, without a copy.
    void* grown = std::realloc(data_, capacity + HttpRequest::kBodyPadding);
    if (grown == nullptr) throw std::bad_alloc();
    data_ = static_cast<char*>(grown);
    capacity_ = capacity;
  }
  void Release() {
    std::free(data_);
    data_ = nullptr;
    capacity_ = 0;
  }

 private:
  char* data_ = nullptr;
  size_t capacity_ = 0;
};

}  // namespace leadsman::net
