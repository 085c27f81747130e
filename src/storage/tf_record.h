#pragma once

#include <cstdint>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"

namespace leadsman {

/// Reads TensorFlow's file of records, TFRecord, as it is without compression:
///
///   length (8 bytes) · its checksum (4) · data · its checksum (4)         all little-endian, the checksums masked CRC-32C
///
/// No length is believed before its checksum is right and the file has as many bytes. Externally synchronised; blocks for
/// the file.
///
///   ASSIGN_OR_RETURN(TfRecordReader reader, TfRecordReader::Open(path));
///   while (true) {
///     ASSIGN_OR_RETURN(std::optional<std::string_view> record, reader.Next());
///     if (!record) break;
///   }
class TfRecordReader {
 public:
  /// NOT_FOUND when there is none.
  static Result<TfRecordReader> Open(const std::string& path);
  /// `name`: for messages.
  TfRecordReader(std::FILE* file, std::string name);

  /// The next record, valid until the next call; nothing at the end. DATA_LOSS names the file and the byte where what is
  /// wrong begins.
  Result<std::optional<std::string_view>> Next();

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  /// Reads `size` bytes and the checksum behind them.
  Status ReadChecked(uint64_t size, std::string_view what);
  Status Wrong(std::string_view what) const;

  std::unique_ptr<std::FILE, Close> file_;
  std::string name_;
  uint64_t size_ = 0;
  uint64_t at_ = 0;      ///< of the file
  uint64_t record_ = 0;  ///< where the present one begins
  std::string bytes_;
};

/// The checksum as the format has it.
uint32_t MaskedCrc32c(std::string_view bytes);

}  // namespace leadsman
