#include "net/http_status.h"

#include <gtest/gtest.h>

namespace leadsman::net {
namespace {

TEST(HttpStatusTest, IsThatOfGooglesTable) {
  using enum StatusCode;
  EXPECT_EQ(HttpStatusOf(kOk), 200);
  for (StatusCode code : {kInvalidArgument, kFailedPrecondition, kOutOfRange})
    EXPECT_EQ(HttpStatusOf(code), 400) << StatusCodeName(code);
  EXPECT_EQ(HttpStatusOf(kUnauthenticated), 401);
  EXPECT_EQ(HttpStatusOf(kPermissionDenied), 403);
  EXPECT_EQ(HttpStatusOf(kNotFound), 404);
  for (StatusCode code : {kAlreadyExists, kAborted})
    EXPECT_EQ(HttpStatusOf(code), 409) << StatusCodeName(code);
  EXPECT_EQ(HttpStatusOf(kResourceExhausted), 429);
  EXPECT_EQ(HttpStatusOf(kCancelled), 499);
  for (StatusCode code : {kUnknown, kInternal, kDataLoss})
    EXPECT_EQ(HttpStatusOf(code), 500) << StatusCodeName(code);
  EXPECT_EQ(HttpStatusOf(kUnimplemented), 501);
  EXPECT_EQ(HttpStatusOf(kUnavailable), 503);
  EXPECT_EQ(HttpStatusOf(kDeadlineExceeded), 504);
}

}  // namespace
}  // namespace leadsman::net
