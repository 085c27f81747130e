#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <new>

namespace leadsman {

/// Memory from the kernel itself, for large buffers of which little may ever be touched: untouched pages cost nothing, and
/// all of them go back at once, where the allocator would keep the hole and put something small into its middle.
/// std::bad_alloc when there is none. Zero at first.
class Pages {
 public:
  explicit Pages(size_t bytes) : bytes_(bytes) {
    data_ = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (data_ == MAP_FAILED) throw std::bad_alloc();
  }
  ~Pages() { munmap(data_, bytes_); }
  Pages(const Pages&) = delete;
  Pages& operator=(const Pages&) = delete;

  std::byte* get() const { return static_cast<std::byte*>(data_); }

 private:
  void* data_;
  size_t bytes_;
};

}  // namespace leadsman
