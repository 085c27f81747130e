#include "base/cpu.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "base/testing/temp_dir.h"

namespace leadsman {
namespace {

class CpuTest : public ::testing::Test {
 protected:
  void Write(const std::string& path, const std::string& text) {
    std::filesystem::path file = dir_.path() / path;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text;
  }
  std::optional<double> Limit() { return CgroupCpuLimit(dir_.path().string()); }
  TempDir dir_;
};

TEST_F(CpuTest, ReadsAQuota) {
  EXPECT_EQ(ParseCpuMax("150000 100000\n"), 1.5);
  EXPECT_EQ(ParseCpuMax("max 100000"), std::nullopt);
  for (const char* bad : {"", "x", "1", "0 0", "-1 100000", "100000 0", "1 2 3"}) {
    EXPECT_EQ(ParseCpuMax(bad), std::nullopt) << bad;
  }
}

TEST_F(CpuTest, TakesTheLeastOfTheGroupAndThoseAboveIt) {
  Write("proc/self/cgroup", "0::/kubepods/pod1/app\n");
  Write("sys/fs/cgroup/kubepods/pod1/app/cpu.max", "max 100000\n");
  Write("sys/fs/cgroup/kubepods/pod1/cpu.max", "250000 100000\n");
  Write("sys/fs/cgroup/kubepods/cpu.max", "800000 100000\n");
  EXPECT_EQ(Limit(), 2.5);
}

TEST_F(CpuTest, InsideAContainerTheMountIsTheGroup) {
  Write("proc/self/cgroup", "0::/\n");
  Write("sys/fs/cgroup/cpu.max", "50000 100000\n");
  EXPECT_EQ(Limit(), 0.5);
  EXPECT_EQ(AvailableCores(dir_.path().string()), 1);
}

TEST_F(CpuTest, ReadsTheOldGroupsAsWell) {
  Write("proc/self/cgroup", "5:memory:/x\n4:cpu,cpuacct:/docker/abc\n0::/\n");
  Write("sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_quota_us", "300000\n");
  Write("sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(Limit(), 3);
  Write("sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_quota_us", "-1\n");
  EXPECT_EQ(Limit(), std::nullopt);
}

TEST_F(CpuTest, WithoutGroupsThereIsNoLimit) {
  EXPECT_EQ(Limit(), std::nullopt);
  EXPECT_GE(AvailableCores(dir_.path().string()), 1);
}

}  // namespace
}  // namespace leadsman
