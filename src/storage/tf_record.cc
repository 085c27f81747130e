#include "storage/tf_record.h"

#include <bit>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/fs.h"
#include "base/strings.h"
#include "storage/digest.h"

namespace leadsman {
namespace {

static_assert(std::endian::native == std::endian::little, "numbers are read as they lie in memory");

constexpr size_t kChecksum = 4;
/// What a protocol buffer message may have at most.
constexpr uint64_t kMaxRecord = INT32_MAX;

}  // namespace

uint32_t MaskedCrc32c(std::string_view bytes) {
  const uint32_t crc = Crc32c(0, bytes);
  return std::rotr(crc, 15) + 0xa282ead8u;
}

Result<TfRecordReader> TfRecordReader::Open(const std::string& path) {
  std::FILE* file = std::fopen(path.c_str(), "rbe");
  if (file == nullptr) return ErrnoStatus(errno, "open", path);
  return TfRecordReader(file, path);
}

TfRecordReader::TfRecordReader(std::FILE* file, std::string name)
    : file_(file), name_(std::move(name)) {
  if (std::fseek(file, 0, SEEK_END) == 0) {
    const long end = std::ftell(file);
    size_ = end > 0 ? static_cast<uint64_t>(end) : 0;
  }
  if (std::fseek(file, 0, SEEK_SET) != 0) size_ = 0;
}

Status TfRecordReader::Wrong(std::string_view what) const {
  return DataLossError(StrCat(name_, ": the record at byte ", record_, " ", what));
}

Status TfRecordReader::ReadChecked(uint64_t size, std::string_view what) {
  if (size_ - at_ < kChecksum || size_ - at_ - kChecksum < size) return Wrong("is cut off");
  bytes_.resize(size + kChecksum);
  if (std::fread(bytes_.data(), 1, bytes_.size(), file_.get()) != bytes_.size())
    return Wrong("cannot be read in full");
  at_ += bytes_.size();
  uint32_t checksum;
  std::memcpy(&checksum, bytes_.data() + size, kChecksum);
  bytes_.resize(size);
  if (checksum == MaskedCrc32c(bytes_)) return OkStatus();
  return Wrong(StrCat("is corrupt: the checksum of its ", what,
                      " is wrong; is it an uncompressed TFRecord file?"));
}

Result<std::optional<std::string_view>> TfRecordReader::Next() {
  record_ = at_;
  if (at_ == size_) return std::optional<std::string_view>();
  RETURN_IF_ERROR(ReadChecked(sizeof(uint64_t), "length"));
  uint64_t length;
  std::memcpy(&length, bytes_.data(), sizeof(length));
  if (length > kMaxRecord)
    return Wrong(StrCat("claims ", length, " bytes; the most is ", kMaxRecord));
  RETURN_IF_ERROR(ReadChecked(length, "data"));
  return std::optional<std::string_view>(bytes_);
}

}  // namespace leadsman
