#include "rollout/promql_names.h"

#include <gtest/gtest.h>

namespace leadsman {
namespace {

TEST(MetricsOfTest, OfQueriesAsPeopleWriteThem) {
  using Names = std::vector<std::string>;
  const struct {
    const char* query;
    Names names;
  } cases[] = {
      {"up", {"up"}},
      {"up{job=\"a\"} == 1", {"up"}},
      {"sum(rate(requests_total{code=~\"5..\",version=\"0\"}[5m])) / sum(rate(requests_total[5m]))",
       {"requests_total"}},
      {"histogram_quantile(0.99, sum by (le) (rate(request_seconds_bucket{a=\"}\"}[1m] offset "
       "1h)))",
       {"request_seconds_bucket"}},
      {"sum without(instance) (job:errors:rate5m) or vector(0)", {"job:errors:rate5m"}},
      {"a * on(model) group_left(team) b unless c > bool 1e3", {"a", "b", "c"}},
      {"max_over_time(queue_length[1h:5m] @ end()) # of the queue, up to inf", {"queue_length"}},
      {"{__name__=\"up\", job='b'}", {"up"}},
      {"{__name__=~\"up.*\"}", {}},
      {"topk(3, memory_bytes) by (pod)", {"memory_bytes"}},
      {"label_replace(up, \"a\", \"$1\", \"b\", \"not_a_metric\")", {"up"}},
      {"time() - 3600", {}},
      {"sum(", {}},
      {"a{b=\"", {"a"}},
      {"'", {}},
      {"", {}},
  };
  for (const auto& one : cases) EXPECT_EQ(MetricsOf(one.query), one.names) << one.query;
}

}  // namespace
}  // namespace leadsman
