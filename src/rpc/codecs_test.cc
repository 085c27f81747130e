#include <gtest/gtest.h>

#include <string>

#include "rpc/services.h"
#include "rpc/wire.h"

// What the codecs refuse, and how, without a server around them.

namespace leadsman::rpc {
namespace {

TEST(CodecsTest, ReflectionCutsWhatItShowsBetweenCharacters) {
  // 200 times "é", of two bytes: the cut at 256 would fall between them but for the "x".
  std::string symbol = "x";
  for (int i = 0; i < 200; ++i) symbol += "\xC3\xA9";
  std::string request, response;
  WireWriter(request).Text(4, symbol);
  ASSERT_EQ(Reflect(request, response), OkStatus());
  EXPECT_TRUE(IsUtf8(response.substr(response.find("no symbol"))));
}

}  // namespace
}  // namespace leadsman::rpc
