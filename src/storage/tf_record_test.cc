#include "storage/tf_record.h"

#include <gtest/gtest.h>

#include <vector>

#include "base/testing/temp_dir.h"
#include "storage/testing/tf_record_writer.h"

namespace leadsman {
namespace {

class TfRecordTest : public ::testing::Test {
 protected:
  /// Every record, then "end" or what is wrong.
  std::vector<std::string> Read(std::string_view file) {
    Result<TfRecordReader> reader = TfRecordReader::Open(dir_.Write("records", std::string(file)));
    if (!reader.ok()) return {reader.status().ToString()};
    std::vector<std::string> all;
    while (true) {
      Result<std::optional<std::string_view>> record = reader->Next();
      if (!record.ok()) {
        std::string why = record.status().ToString();
        size_t at = why.find(dir_.file("records"));
        if (at != std::string::npos) why.replace(at, dir_.file("records").size(), "records");
        all.push_back(why);
        return all;
      }
      all.emplace_back(record->value_or("end"));
      if (!*record) return all;
    }
  }
  TempDir dir_;
};

TEST_F(TfRecordTest, ReadsWhatTensorFlowWrites) {
  // tf.io.TFRecordWriter of TensorFlow 2.21: b"abc", b"".
  const std::string file(
      "\x03\0\0\0\0\0\0\0\xb0\x99\x49\x0e"
      "abc\x6e\x57\xf1\x21"
      "\0\0\0\0\0\0\0\0\x29\x03\x98\x07\xd8\xea\x82\xa2",
      35);
  EXPECT_EQ(Read(file), (std::vector<std::string>{"abc", "", "end"}));
  std::string ours;
  AppendTfRecord(ours, "abc");
  AppendTfRecord(ours, "");
  EXPECT_EQ(ours, file);
  EXPECT_EQ(Read(""), std::vector<std::string>{"end"});
  EXPECT_EQ(TfRecordReader::Open(dir_.file("none")).status().code(), StatusCode::kNotFound);
}

TEST_F(TfRecordTest, WhatIsCorruptIsToldWithItsPlace) {
  std::string file;
  AppendTfRecord(file, "first");
  AppendTfRecord(file, "second");
  auto changed = [&](size_t at, char to) {
    std::string copy = file;
    copy[at] = to;
    return Read(copy).back();
  };
  EXPECT_EQ(
      changed(14, 'X'),
      "DATA_LOSS: records: the record at byte 0 is corrupt: the checksum of its data is wrong; "
      "is it an uncompressed TFRecord file?");
  EXPECT_EQ(changed(21, '\x7f'),
            "DATA_LOSS: records: the record at byte 21 is corrupt: the checksum of its length is "
            "wrong; is it an uncompressed TFRecord file?");
  for (size_t size : {1u, 11u, 12u, 20u}) {
    EXPECT_EQ(Read(file.substr(0, size)).back(),
              "DATA_LOSS: records: the record at byte 0 is cut off");
  }
  EXPECT_EQ(
      Read(file.substr(0, file.size() - 1)),
      (std::vector<std::string>{"first", "DATA_LOSS: records: the record at byte 21 is cut off"}));
  // A length with a good checksum, and nothing behind it.
  std::string lie("\xff\xff\xff\xff\xff\xff\xff\x7f", 8);
  const uint32_t checksum = MaskedCrc32c(lie);
  lie.append(reinterpret_cast<const char*>(&checksum), 4);
  EXPECT_EQ(
      Read(lie).back(),
      "DATA_LOSS: records: the record at byte 0 claims 9223372036854775807 bytes; the most is "
      "2147483647");
}

}  // namespace
}  // namespace leadsman
