#include "events/dropped_inputs.h"

#include <gtest/gtest.h>

namespace leadsman {
namespace {

TEST(DroppedInputsTest, AreNamesAndPlaces) {
  EXPECT_TRUE(DroppedInputs().empty());
  const std::vector<std::string> said = {"income", "[3]", "[x]", "[]", "[-1]"};
  const DroppedInputs dropped(said);
  EXPECT_FALSE(dropped.empty());
  EXPECT_TRUE(dropped.Has("income"));
  EXPECT_TRUE(dropped.Has("[x]")) << "a name like another";
  EXPECT_FALSE(dropped.Has("age"));
  EXPECT_TRUE(dropped.HasPlace(3));
  EXPECT_FALSE(dropped.HasPlace(0));
  EXPECT_EQ(dropped.inputs().size(), 5u);
}

}  // namespace
}  // namespace leadsman
