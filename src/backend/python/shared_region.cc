#include "backend/python/shared_region.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/strings.h"

namespace leadsman::python {
namespace {

Status NoMemory(size_t bytes, std::string_view what) {
  return ResourceExhaustedError(StrCat("no shared memory of ", bytes,
                                       " bytes for a Python worker: ", what, ": ",
                                       std::strerror(errno)));
}

}  // namespace

Result<SharedRegion> SharedRegion::Create(size_t bytes) {
  SharedRegion region;
  region.fd_ = UniqueFd(memfd_create("leadsman-python", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!region.fd_.valid()) return NoMemory(bytes, "memfd_create");
  if (ftruncate(region.fd(), static_cast<off_t>(bytes)) != 0) return NoMemory(bytes, "ftruncate");
  if (fcntl(region.fd(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    return NoMemory(bytes, "seal");
  }
  void* data = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, region.fd(), 0);
  if (data == MAP_FAILED) return NoMemory(bytes, "mmap");
  region.data_ = static_cast<char*>(data);
  region.size_ = bytes;
  return region;
}

SharedRegion::SharedRegion(SharedRegion&& other) noexcept
    : fd_(std::move(other.fd_)),
      data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)) {}

SharedRegion& SharedRegion::operator=(SharedRegion&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

SharedRegion::~SharedRegion() {
  if (data_ != nullptr) munmap(data_, size_);
}

}  // namespace leadsman::python
