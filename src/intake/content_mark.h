#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace leadsman {

class ContentReader;

/// What a stretch of bytes is known by. Lies in the position journal, so HashBytes must never change.
struct BytesPrint {
  uint32_t bytes = 0;
  uint64_t hash = 0;
  friend bool operator==(const BytesPrint&, const BytesPrint&) = default;
};
uint64_t HashBytes(std::string_view bytes);
inline BytesPrint PrintOf(std::string_view bytes) {
  return {static_cast<uint32_t>(bytes.size()), HashBytes(bytes)};
}

/// A place in a log's content, wherever that content lies: its file may have been renamed, copied or
/// compressed since. Inode numbers are used again and many logs begin alike, so that only the first
/// bytes together with those just before the position say that it is the same content.
struct ContentMark {
  BytesPrint head;  ///< of the first kHeadBytes, or of what there was of them
  uint64_t position = 0;
  BytesPrint tail;  ///< of up to kTailBytes that end at the position
  friend bool operator==(const ContentMark&, const ContentMark&) = default;
};
inline constexpr size_t kHeadBytes = 1024;
inline constexpr size_t kTailBytes = 256;
/// A position of content that is known and never read.
inline constexpr uint64_t kNeverRead = ~uint64_t{0};

enum class Match {
  kSame,
  kOther,
  kTooShort,  ///< begins as it should and ends before the position: a copy in the making, perhaps
};
/// `recent`, when given, has up to kTailBytes before the position afterwards. Decompresses an archive
/// up to the position: that may take seconds for gigabytes. A file that cannot be read is kOther.
Match MatchContent(ContentReader& reader, const ContentMark& mark, std::string* recent = nullptr);

/// Compares the first bytes alone and takes in what the file has grown by since.
Match MatchHead(ContentReader& reader, BytesPrint& head);

}  // namespace leadsman
