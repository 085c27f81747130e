#pragma once

#include <gtest/gtest.h>
#include <zlib.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>

namespace leadsman {

inline void Append(const std::string& path, std::string_view text) {
  std::ofstream out(path, std::ios::app | std::ios::binary);
  out << text;
  ASSERT_TRUE(out.flush().good()) << path;
}
inline std::string BytesOf(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}
/// As gzip does it: the time of the last write stays.
inline void Gzip(const std::string& from, const std::string& to) {
  const std::string text = BytesOf(from);
  gzFile out = gzopen(to.c_str(), "wb");
  gzwrite(out, text.data(), static_cast<unsigned>(text.size()));
  ASSERT_EQ(gzclose(out), Z_OK);
  std::filesystem::last_write_time(to, std::filesystem::last_write_time(from));
}
inline void Compress(const std::string& path) {
  Gzip(path, path + ".gz");
  std::filesystem::remove(path);
}
inline void CopyTruncate(const std::string& from, const std::string& to) {
  std::filesystem::copy_file(from, to);
  std::filesystem::resize_file(from, 0);
}

}  // namespace leadsman
