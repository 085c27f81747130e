#include "intake/gzip_reader.h"

#include <zlib.h>

#include <algorithm>
#include <utility>

#include "base/strings.h"

namespace leadsman {
namespace {
constexpr size_t kInputBytes = 64 * 1024;
constexpr int kGzipWindow = 15 + 16;  // the largest window, gzip's header and nothing else
}  // namespace

struct GzipReader::Inflater {
  z_stream stream{};
  bool begun = false;
  ~Inflater() {
    if (begun) inflateEnd(&stream);
  }
};

Result<std::unique_ptr<ContentReader>> GzipReader::Make(UniqueFd fd, std::string path) {
  auto inflater = std::make_unique<Inflater>();
  if (inflateInit2(&inflater->stream, kGzipWindow) != Z_OK) {
    return ResourceExhaustedError(StrCat("no memory to decompress ", path));
  }
  inflater->begun = true;
  return std::unique_ptr<ContentReader>(
      new GzipReader(std::move(fd), std::move(path), std::move(inflater)));
}

GzipReader::GzipReader(UniqueFd fd, std::string path, std::unique_ptr<Inflater> inflater)
    : ContentReader(std::move(fd), std::move(path)),
      inflater_(std::move(inflater)),
      input_(kInputBytes) {}
GzipReader::~GzipReader() = default;

void GzipReader::Rewind() {
  inflateReset(&inflater_->stream);
  inflater_->stream.avail_in = 0;
  file_offset_ = 0;
  out_ = 0;
  member_done_ = ended_ = false;
}

Result<size_t> GzipReader::ReadAt(uint64_t offset, char* into, size_t size) {
  if (offset < out_) Rewind();
  char skipped[16 * 1024];
  while (out_ < offset) {
    ASSIGN_OR_RETURN(size_t n, Next(skipped, std::min<uint64_t>(sizeof(skipped), offset - out_)));
    if (n == 0) return size_t{0};
  }
  size_t done = 0;
  while (done < size) {
    ASSIGN_OR_RETURN(size_t n, Next(into + done, size - done));
    if (n == 0) break;
    done += n;
  }
  return done;
}

Result<bool> GzipReader::FillInput() {
  z_stream& stream = inflater_->stream;
  if (stream.avail_in > 0) return true;
  ASSIGN_OR_RETURN(size_t n,
                   ReadFileAt(file_offset_, reinterpret_cast<char*>(input_.data()), input_.size()));
  file_offset_ += n;
  stream.next_in = input_.data();
  stream.avail_in = static_cast<unsigned>(n);
  return n > 0;
}

Result<bool> GzipReader::NextMember() {
  ASSIGN_OR_RETURN(bool more, FillInput());
  z_stream& stream = inflater_->stream;
  if (!more || *stream.next_in != 0x1f) return false;
  inflateReset(&stream);
  member_done_ = false;
  return true;
}

Result<size_t> GzipReader::Next(char* into, size_t size) {
  z_stream& stream = inflater_->stream;
  while (true) {
    if (member_done_) {
      ASSIGN_OR_RETURN(bool another, NextMember());
      ended_ = !another;
      if (!another) return size_t{0};
    }
    ASSIGN_OR_RETURN(bool more, FillInput());
    stream.next_out = reinterpret_cast<unsigned char*>(into);
    stream.avail_out = static_cast<unsigned>(std::min<size_t>(size, 1u << 30));
    const unsigned wanted = stream.avail_out;
    const int rc = inflate(&stream, Z_NO_FLUSH);
    const size_t n = wanted - stream.avail_out;
    out_ += n;
    if (rc == Z_STREAM_END) {
      member_done_ = true;
    } else if (rc != Z_OK && rc != Z_BUF_ERROR) {
      return DataLossError(StrCat(
          path(), " is no whole gzip archive: ", stream.msg != nullptr ? stream.msg : "damaged"));
    }
    if (n > 0) return n;
    if (!more && rc != Z_STREAM_END) return size_t{0};  // cut off, or still being written
  }
}

}  // namespace leadsman
