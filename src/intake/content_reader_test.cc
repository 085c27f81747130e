#include "intake/content_reader.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "base/rng.h"
#include "base/strings.h"
#include "base/testing/temp_dir.h"
#include "intake/content_mark.h"
#include "intake/testing/rotated_files.h"

namespace leadsman {
namespace {

namespace fs = std::filesystem;

std::string Text(int lines) {
  Rng rng(5);
  std::string text;
  for (int i = 0; i < lines; ++i) text += StrCat("line ", i, ' ', rng(), '\n');
  return text;
}
std::string ReadOn(ContentReader& reader, uint64_t offset) {
  std::string text;
  char piece[3000];
  while (true) {
    auto n = reader.ReadAt(offset + text.size(), piece, sizeof(piece));
    if (!n.ok() || *n == 0) return text;
    text.append(piece, *n);
  }
}

TEST(GzipReaderTest, ReadsFromAnyOffset) {
  TempDir dir;
  const std::string text = Text(20'000);
  dir.Write("a", text);
  Gzip(dir.file("a"), dir.file("a.gz"));
  auto reader = ContentReader::Open(dir.file("a.gz"));
  ASSERT_TRUE(reader.ok()) << reader.status();
  EXPECT_TRUE((*reader)->archive());
  for (size_t offset :
       {size_t{0}, size_t{400'000}, size_t{1000}, text.size() - 5, text.size() + 9}) {
    EXPECT_EQ(ReadOn(**reader, offset), text.substr(std::min(offset, text.size()))) << offset;
    EXPECT_TRUE((*reader)->whole());
  }
}

TEST(GzipReaderTest, ReadsSeveralMembersAndIgnoresPadding) {
  TempDir dir;
  dir.Write("a", "one\n");
  dir.Write("b", "two\n");
  Gzip(dir.file("a"), dir.file("a.gz"));
  Gzip(dir.file("b"), dir.file("b.gz"));
  Append(dir.file("a.gz"), BytesOf(dir.file("b.gz")));
  Append(dir.file("a.gz"), std::string(100'000, '\0'));
  auto reader = ContentReader::Open(dir.file("a.gz"));
  ASSERT_TRUE(reader.ok());
  EXPECT_EQ(ReadOn(**reader, 0), "one\ntwo\n");
  EXPECT_TRUE((*reader)->whole());
}

TEST(GzipReaderTest, GrowsWithItsFile) {
  TempDir dir;
  const std::string text = Text(5000);
  dir.Write("a", text);
  Gzip(dir.file("a"), dir.file("a.gz"));
  const std::string whole = BytesOf(dir.file("a.gz"));
  dir.Write("growing.gz", "");
  auto reader = ContentReader::Open(dir.file("growing.gz"));
  ASSERT_TRUE(reader.ok());
  std::string got;
  for (size_t at = 0; at < whole.size(); at += 777) {
    EXPECT_FALSE((*reader)->whole());
    Append(dir.file("growing.gz"), std::string_view(whole).substr(at, 777));
    got += ReadOn(**reader, got.size());
  }
  EXPECT_EQ(got, text);
  EXPECT_TRUE((*reader)->whole());
}

TEST(GzipReaderTest, DamageIsAnErrorAfterWhatCouldBeRead) {
  TempDir dir;
  dir.Write("a", Text(50'000));
  Gzip(dir.file("a"), dir.file("a.gz"));
  std::string bytes = BytesOf(dir.file("a.gz"));
  for (size_t i = bytes.size() / 2; i < bytes.size() / 2 + 100; ++i) bytes[i] ^= 0x55;
  dir.Write("a.gz", bytes);
  auto reader = ContentReader::Open(dir.file("a.gz"));
  ASSERT_TRUE(reader.ok());
  EXPECT_GT(ReadOn(**reader, 0).size(), 100'000u);
  std::string all(10 << 20, '\0');
  EXPECT_EQ((*reader)->ReadAt(0, all.data(), all.size()).status().code(), StatusCode::kDataLoss);
  dir.Write("no.gz", "this is no archive at all");
  reader = ContentReader::Open(dir.file("no.gz"));
  ASSERT_TRUE(reader.ok());
  EXPECT_EQ((*reader)->ReadAt(0, all.data(), 10).status().code(), StatusCode::kDataLoss);
}

TEST(ContentReaderTest, OpensPlainFilesOnly) {
  TempDir dir;
  ASSERT_EQ(mkfifo(dir.file("fifo").c_str(), 0644), 0);
  EXPECT_EQ(ContentReader::Open(dir.file("fifo")).status().code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(ContentReader::Open(dir.path()).status().code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(ContentReader::Open(dir.file("none")).status().code(), StatusCode::kNotFound);
  dir.Write("a", "x");
  auto reader = ContentReader::Open(dir.file("a"));
  ASSERT_TRUE(reader.ok());
  EXPECT_TRUE((*reader)->Linked());
  fs::remove(dir.file("a"));
  EXPECT_FALSE((*reader)->Linked());
  EXPECT_EQ(ReadOn(**reader, 0), "x");
}

TEST(ContentMarkTest, KnowsContentByItsBeginningAndTheBytesBeforeThePosition) {
  TempDir dir;
  const std::string text = Text(1000);
  const size_t position = 20'000;
  ContentMark mark{PrintOf(text.substr(0, kHeadBytes)), position,
                   PrintOf(text.substr(position - 100, 100))};
  auto match = [&](std::string_view content) {
    dir.Write("a", content);
    auto reader = ContentReader::Open(dir.file("a"));
    return reader.ok() ? MatchContent(**reader, mark) : Match::kOther;
  };
  EXPECT_EQ(match(text), Match::kSame);
  EXPECT_EQ(match(text.substr(0, position)), Match::kSame);
  EXPECT_EQ(match(text.substr(0, position - 1)), Match::kTooShort);
  EXPECT_EQ(match(text.substr(0, 100)), Match::kTooShort);
  std::string other = text;
  other[position - 50] ^= 1;
  EXPECT_EQ(match(other), Match::kOther);
  other = text;
  other[5] ^= 1;
  EXPECT_EQ(match(other), Match::kOther);
}

}  // namespace
}  // namespace leadsman
