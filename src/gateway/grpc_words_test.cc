#include "gateway/grpc_words.h"

#include <gtest/gtest.h>

namespace leadsman::gateway {
namespace {

using namespace std::chrono_literals;

TEST(GrpcWordsTest, TellsCallsByTheirContentType) {
  for (const char* type :
       {"application/grpc", "application/grpc+proto", "application/grpc;x=y", "Application/GRPC"})
    EXPECT_TRUE(IsGrpc(type)) << type;
  for (const char* type : {"", "application/json", "application/grpc-web", "application/grpcish"})
    EXPECT_FALSE(IsGrpc(type)) << type;
}

TEST(GrpcWordsTest, ReadsTimeouts) {
  EXPECT_EQ(ParseGrpcTimeout("100m"), 100ms);
  EXPECT_EQ(ParseGrpcTimeout("2S"), 2s);
  EXPECT_EQ(ParseGrpcTimeout("3M"), 3min);
  EXPECT_EQ(ParseGrpcTimeout("1H"), 1h);
  EXPECT_EQ(ParseGrpcTimeout("5u"), 5us);
  EXPECT_EQ(ParseGrpcTimeout("7n"), 7ns);
  EXPECT_EQ(ParseGrpcTimeout("99999999H"), 1'000'000h) << "no overflow";
  for (const char* text : {"", "m", "1", "1x", "-1S", "123456789S", "1 S"})
    EXPECT_EQ(ParseGrpcTimeout(text), std::nullopt) << text;
}

TEST(GrpcWordsTest, AMessageHasNoByteThatAFieldMayNotHave) {
  EXPECT_EQ(GrpcMessage("plain text: 7"), "plain text: 7");
  EXPECT_EQ(GrpcMessage("100% é\n"), "100%25 %C3%A9%0A");
}

TEST(GrpcWordsTest, AStatusThatIsNoneIsUnknown) {
  EXPECT_EQ(ParseGrpcStatus("14"), StatusCode::kUnavailable);
  for (const char* text : {"", "x", "-1", "17", "99999999999999999999"})
    EXPECT_EQ(ParseGrpcStatus(text), StatusCode::kUnknown) << text;
}

}  // namespace
}  // namespace leadsman::gateway
