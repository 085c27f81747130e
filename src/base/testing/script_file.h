#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <functional>
#include <string>

namespace leadsman {

/// Plays a script: a text file of cases, each some input lines, a line "----" and the answer that is expected of them,
/// with an empty line between cases. The last line that begins with '#' before an answer names it in failures. With UPDATE
/// in the environment the answers in the file are replaced by those given: read the difference.
///
///   read    takes one input line, which is neither empty nor a comment
///   answer  is called after a case's last line; what it returns is compared, and the next case begins anew
///
/// Returns how many cases were played; 0 when the file cannot be read, which is a failure, too.
inline int PlayScript(const std::string& path,
                      const std::function<void(const std::string& line)>& read,
                      const std::function<std::string()>& answer) {
  std::ifstream in(path);
  if (!in) {
    ADD_FAILURE() << "cannot read " << path;
    return 0;
  }
  std::string rewritten, line, title, expected;
  bool below = false;
  int cases = 0;
  auto finish = [&] {
    if (!below) return;
    const std::string got = answer();
    EXPECT_EQ(got, expected) << title;
    rewritten += got;
    expected.clear();
    below = false;
    ++cases;
  };
  while (std::getline(in, line)) {
    if (line.empty()) finish();
    if (below) {
      expected += line + "\n";
      continue;
    }
    rewritten += line + "\n";
    if (line == "----") {
      below = true;
    } else if (line.starts_with('#')) {
      title = line;
    } else if (!line.empty()) {
      read(line);
    }
  }
  finish();
  if (std::getenv("UPDATE") != nullptr) std::ofstream(path) << rewritten;
  return cases;
}

}  // namespace leadsman
