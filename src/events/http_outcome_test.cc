#include "events/http_outcome.h"

#include <gtest/gtest.h>

namespace leadsman {
namespace {

TEST(HttpOutcomeTest, GoesByWhoseDoingTheAnswerIs) {
  using enum StatusCode;
  for (int status : {200, 204, 302, 304}) EXPECT_EQ(OutcomeOfHttp(status), kOk) << status;
  // The client's.
  for (int status : {400, 405, 408, 413, 415, 422, 431})
    EXPECT_EQ(OutcomeOfHttp(status), kInvalidArgument) << status;
  EXPECT_EQ(OutcomeOfHttp(401), kUnauthenticated);
  EXPECT_EQ(OutcomeOfHttp(403), kPermissionDenied);
  EXPECT_EQ(OutcomeOfHttp(404), kNotFound);
  EXPECT_EQ(OutcomeOfHttp(409), kAlreadyExists);
  EXPECT_EQ(OutcomeOfHttp(412), kFailedPrecondition);
  // The service's.
  EXPECT_EQ(OutcomeOfHttp(429), kResourceExhausted);
  EXPECT_EQ(OutcomeOfHttp(500), kInternal);
  EXPECT_EQ(OutcomeOfHttp(501), kUnimplemented);
  EXPECT_EQ(OutcomeOfHttp(502), kUnavailable);
  EXPECT_EQ(OutcomeOfHttp(503), kUnavailable);
  EXPECT_EQ(OutcomeOfHttp(504), kDeadlineExceeded);
  EXPECT_EQ(OutcomeOfHttp(599), kInternal);
  // Nobody's.
  EXPECT_EQ(OutcomeOfHttp(499), kCancelled);
}

}  // namespace
}  // namespace leadsman
