#pragma once

#include <memory>
#include <string>
#include <vector>

#include "intake/content_reader.h"

namespace leadsman {

/// What a gzip file holds, decompressed; several members one after the other are one content. Reading
/// on is cheap, reading before what was read last decompresses from the beginning. A file that is
/// still being written reads as far as it goes, and on when it has grown. DATA_LOSS for a damaged one.
class GzipReader final : public ContentReader {
 public:
  static Result<std::unique_ptr<ContentReader>> Make(UniqueFd fd, std::string path);
  ~GzipReader() override;

  Result<size_t> ReadAt(uint64_t offset, char* into, size_t size) override;
  bool archive() const override { return true; }
  bool whole() const override { return ended_; }

 private:
  struct Inflater;
  GzipReader(UniqueFd fd, std::string path, std::unique_ptr<Inflater> inflater);
  void Rewind();
  /// Up to `size` of the next bytes.
  Result<size_t> Next(char* into, size_t size);
  /// False at the end of the file as it is now.
  Result<bool> FillInput();
  /// After a member: is there another? What is none, gzip too ignores (tapes pad with zeros).
  Result<bool> NextMember();

  std::unique_ptr<Inflater> inflater_;
  std::vector<unsigned char> input_;
  uint64_t file_offset_ = 0;  ///< of the first byte not yet in input_
  uint64_t out_ = 0;          ///< bytes given so far
  bool member_done_ = false;
  bool ended_ = false;
};

}  // namespace leadsman
