#include "intake/glob.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "base/testing/temp_dir.h"

namespace leadsman {
namespace {

namespace fs = std::filesystem;

class GlobTest : public testing::Test {
 protected:
  void File(const std::string& name) {
    fs::create_directories((dir_.path() / name).parent_path());
    dir_.Write(name, "x");
  }
  std::vector<std::string> Expand(const std::string& pattern, size_t max = 100) {
    std::vector<std::string> names;
    last_ = ExpandGlob(dir_.file(pattern), max);
    for (const std::string& path : last_.paths) {
      names.push_back(path.substr(dir_.path().string().size() + 1));
    }
    return names;
  }
  TempDir dir_;
  GlobResult last_;
};
using Names = std::vector<std::string>;

TEST_F(GlobTest, FitsNamesAndFolders) {
  for (const char* name : {"a.log", "b.log", "b.txt", ".hidden.log", "p/c1/0.log", "p/c1/1.log",
                           "p/c2/0.log", "p/deep/er/still/0.log", "p/x.log"}) {
    File(name);
  }
  EXPECT_EQ(Expand("*.log"), (Names{"a.log", "b.log"}));
  EXPECT_EQ(Expand("[b-c].???"), (Names{"b.log", "b.txt"}));
  EXPECT_EQ(Expand("p/*/*.log"), (Names{"p/c1/0.log", "p/c1/1.log", "p/c2/0.log"}));
  EXPECT_EQ(Expand("*/c1/0.log"), Names{"p/c1/0.log"});
  EXPECT_EQ(Expand("p/c*/**/*.log").size(), 3u);
  EXPECT_EQ(Expand("p/**/*.log").size(), 5u);
  EXPECT_EQ(Expand("**/*.log").size(), 7u);
  EXPECT_EQ(Expand("nowhere/*.log"), Names{});
  EXPECT_EQ(Expand("no-wildcard"), Names{"no-wildcard"});
  EXPECT_TRUE(last_.problems.empty());
}

TEST_F(GlobTest, FollowsLinksButInNoCircle) {
  File("target/0.log");
  fs::create_directory_symlink(dir_.file("target"), dir_.file("link"));
  fs::create_directory_symlink(dir_.path(), dir_.file("target/circle"));
  fs::create_symlink(dir_.file("target/0.log"), dir_.file("web.log"));
  EXPECT_EQ(Expand("*.log"), Names{"web.log"});
  EXPECT_EQ(Expand("l*/*.log"), Names{"link/0.log"});
  EXPECT_EQ(Expand("**/*.log"), (Names{"target/0.log", "web.log"}));
}

TEST_F(GlobTest, IsBounded) {
  for (int i = 0; i < 20; ++i) File(std::to_string(i) + ".log");
  EXPECT_EQ(Expand("*.log", 7).size(), 7u);
  EXPECT_TRUE(last_.truncated);
  EXPECT_EQ(Expand("*.log", 20).size(), 20u);
  EXPECT_FALSE(last_.truncated);
}

TEST(RotatedNameTest, NumbersAndDatesInBothPlaces) {
  for (const char* name :
       {"access.log.1", "access.log.12.gz", "access.log-20260301", "access.log.old",
        "access.log-20260301.gz", "access.log-2026-03-01T10:00:00Z", "access.1.log",
        "access-20260301.log.gz", "access.log.gz", "access.log.20260301-120000.gz"}) {
    EXPECT_TRUE(IsRotatedName(name, "access.log")) << name;
  }
  for (const char* name :
       {"access-admin.log", "access.log.swp", "access.log.offset", "access.logs", "error.log.1",
        "access", "access.log.1.zst", "access1.log", "1access.log", "access.log.", "access.txt"}) {
    EXPECT_FALSE(IsRotatedName(name, "access.log")) << name;
  }
  EXPECT_TRUE(IsRotatedName("0.log.20260301-120000", "0.log"));
  EXPECT_TRUE(IsRotatedName("server.1", "server"));
  EXPECT_FALSE(IsRotatedName("1.log", "0.log"));
}

}  // namespace
}  // namespace leadsman
