#include "monitor/drift/reference.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "base/rng.h"
#include "monitor/drift/wide_summary.h"

namespace leadsman {
namespace {

/// Rows of one normal number with autocorrelation `rho`, and a class of two.
Reference Made(size_t rows, double rho, uint64_t seed = 1) {
  Rng rng(seed);
  std::normal_distribution<double> normal;
  ReferenceBuilder builder({"x", "constant"});
  double x = 0;
  for (size_t i = 0; i < rows; ++i) {
    x = rho * x + std::sqrt(1 - rho * rho) * normal(rng);
    const float row[] = {static_cast<float>(1e6 + x), 3};
    const std::string_view classes[] = {rng.Uniform() < 0.3 ? "yes" : "no"};
    builder.Add(row, classes);
  }
  return builder.Build(ReferenceFrom::kFirstRequests, 1'700'000'000'000);
}

const ReferenceStream& Stream(const Reference& reference, const std::string& name) {
  for (const ReferenceStream& s : reference.streams) {
    if (reference.StreamName(s) == name) return s;
  }
  ADD_FAILURE() << "no stream " << name;
  return reference.streams[0];
}

TEST(ReferenceTest, DescribesTheRowsItWasMadeOf) {
  Reference r = Made(5000, 0);
  EXPECT_EQ(r.rows, 5000u);
  EXPECT_EQ(r.block_rows, 50u) << "independent rows: the shortest blocks";
  EXPECT_NEAR(r.numbers[0].mean, 1e6, 0.1);
  EXPECT_NEAR(r.numbers[0].sigma, 1, 0.05) << "not lost beside a large mean";
  EXPECT_NEAR(r.numbers[0].memory, 1, 1);
  EXPECT_EQ(r.numbers[1].sigma, 0);
  EXPECT_EQ(r.numbers[0].counts.total(), 5000u);
  ASSERT_EQ(r.classes, (std::vector<std::string>{"no", "yes"}));
  EXPECT_NEAR(Stream(r, "class yes").centre, 0.3, 0.02);
  EXPECT_EQ(Stream(r, "x").blocks.size(), 100u);
  EXPECT_NEAR(Stream(r, "x").deviation, 1 / std::sqrt(50), 0.03);
  EXPECT_NEAR(Stream(r, "x.spread").centre, 0, 0.1);
  EXPECT_EQ(Stream(r, "other classes").centre, 0);
}

TEST(ReferenceTest, RowsThatDependOnEachOtherMakeLongerBlocks) {
  // An AR(1) has a memory of (1+rho)/(1-rho) rows: 19 at 0.9.
  Reference r = Made(20'000, 0.9);
  EXPECT_NEAR(r.numbers[0].memory, 19, 6);
  EXPECT_NEAR(r.block_rows, 200, 75);
  EXPECT_EQ(r.block_rows % 50, 0u);
}

TEST(ReferenceTest, MissingValuesAreNoValues) {
  ReferenceBuilder builder({"x"});
  for (int i = 0; i < 1000; ++i) {
    const float row[] = {i % 4 == 0 ? std::numeric_limits<float>::quiet_NaN() : 2.0f};
    builder.Add(row, {});
  }
  Reference r = builder.Build(ReferenceFrom::kFirstRequests, 0);
  EXPECT_EQ(r.numbers[0].mean, 2);
  EXPECT_DOUBLE_EQ(r.numbers[0].missing_share(), 0.25);
  EXPECT_NEAR(Stream(r, "missing").centre, 0, 0.01) << "what is usual is not too much";
}

TEST(ReferenceTest, ManyDifferentAnswersAreNoClasses) {
  ReferenceBuilder builder({});
  for (int i = 0; i < 1000; ++i) {
    std::string name = "id-" + std::to_string(i);
    const std::string_view classes[] = {name};
    builder.Add({}, classes);
  }
  Reference r = builder.Build(ReferenceFrom::kFirstRequests, 0);
  EXPECT_TRUE(r.classes.empty());
  EXPECT_TRUE(r.streams.empty());
}

TEST(ReferenceTest, IsTheSameAfterBytes) {
  Reference r = Made(3000, 0.5);
  auto again = Reference::Parse(r.ToBytes());
  ASSERT_TRUE(again.has_value());
  EXPECT_EQ(*again, r);
  std::string bytes = r.ToBytes();
  for (size_t cut = 0; cut < bytes.size(); cut += 97) {
    EXPECT_FALSE(Reference::Parse(std::string_view(bytes).substr(0, cut))) << cut;
  }
}

TEST(ReferenceTest, ALongOneStaysBounded) {
  ReferenceBuilder builder({"x"});
  const float row[] = {1};
  for (size_t i = 0; i < 600'000; ++i) builder.Add(row, {});
  Reference r = builder.Build(ReferenceFrom::kFile, 0);
  EXPECT_EQ(r.rows, 600'000u);
  EXPECT_LE(r.streams[0].blocks.size(), Reference::kMaxBlocks);
  EXPECT_EQ(r.block_rows, 100u) << "joined in pairs";
}

TEST(WideSummaryTest, SeesWhatChangesAnImage) {
  Rng rng(3);
  std::vector<float> image(784), inverted(784);
  for (size_t i = 0; i < image.size(); ++i) {
    image[i] = rng.Uniform() < 0.2 ? 1 : 0;
    inverted[i] = 1 - image[i];
  }
  WideSummary a = SummariseWide(image), b = SummariseWide(inverted);
  EXPECT_EQ(a.size(), WideNames().size());
  EXPECT_NEAR(a[1], 0.2, 0.05);
  EXPECT_NEAR(b[1], 0.8, 0.05);
  EXPECT_NEAR(a[0], std::sqrt(784 * 0.2), 2);
  EXPECT_NE(a[3], b[3]);
  image[17] = std::numeric_limits<float>::infinity();
  EXPECT_TRUE(std::isnan(SummariseWide(image)[0]));
}

}  // namespace
}  // namespace leadsman
