#include <gtest/gtest.h>

#include "gateway/config_schema.h"

namespace leadsman::gateway {
namespace {

std::vector<std::string> ProblemsOf(const std::string& yaml, Options* options = nullptr) {
  Options read = OptionsSchema().initial();
  std::vector<ConfigProblem> problems;
  schema::ReadYaml(yaml, OptionsSchema(), read, problems);
  std::vector<std::string> texts;
  for (const ConfigProblem& problem : problems)
    texts.push_back(problem.path + ": " + problem.message);
  if (options != nullptr) *options = read;
  return texts;
}

std::string Service(const std::string& more) {
  return "listeners: [{port: 0}]\n"
         "services:\n"
         "  - name: digits\n"
         "    versions: [{version: 1, endpoints: [\"127.0.0.1:5000\"]}]\n"
         "    " +
         more + "\n";
}

TEST(GatewayConfigTest, ASmallFileHasTheDefaults) {
  Options options;
  EXPECT_TRUE(ProblemsOf(Service(""), &options).empty());
  ASSERT_EQ(options.services.size(), 1u);
  EXPECT_EQ(options.services[0].versions[0].endpoints[0], "127.0.0.1:5000");
  EXPECT_EQ(ConfiguredParts(options.services[0]), std::vector<uint32_t>{10'000});
  EXPECT_EQ(options.limits.max_body, size_t{64} << 20);
  std::string json;
  OptionsSchema().Write(options, json);
  Options again = OptionsSchema().initial();
  std::vector<ConfigProblem> problems;
  EXPECT_TRUE(schema::ReadJson(json, OptionsSchema(), again, problems)) << json;
}

TEST(GatewayConfigTest, WeightsAreTenThousandthsAndAllTogether) {
  Options options;
  const std::string two =
      "listeners: [{port: 0}]\nservices:\n  - name: digits\n    versions:\n"
      "      - {version: 2, endpoints: [\"a:1\"]WEIGHT2}\n"
      "      - {version: 1, endpoints: [\"b:1\"]WEIGHT1}\n";
  auto with = [&](std::string one, std::string other) {
    std::string text = two;
    text.replace(text.find("WEIGHT2"), 7, other);
    text.replace(text.find("WEIGHT1"), 7, one);
    return text;
  };
  EXPECT_TRUE(ProblemsOf(with("", ""), &options).empty());
  EXPECT_EQ(ConfiguredParts(options.services[0]), (std::vector<uint32_t>{0, 10'000}))
      << "the lowest one";
  EXPECT_TRUE(ProblemsOf(with(", weight: 99.99%", ", weight: 0.01%"), &options).empty());
  EXPECT_EQ(ConfiguredParts(options.services[0]), (std::vector<uint32_t>{1, 9'999}));
  EXPECT_TRUE(ProblemsOf(with(", weight: 1", ""), &options).empty());
  EXPECT_EQ(ConfiguredParts(options.services[0]), (std::vector<uint32_t>{0, 10'000}));
  const auto wrong = ProblemsOf(with(", weight: 50%", ", weight: 40%"));
  ASSERT_EQ(wrong.size(), 1u);
  EXPECT_EQ(wrong[0], "services[0].versions: the weights must be 100% together, and are 90%");
}

TEST(GatewayConfigTest, ThreeThirdsAreAWhole) {
  auto parts = PartsOf({1.0 / 3, 1.0 / 3, 1.0 / 3});
  ASSERT_TRUE(parts.ok());
  EXPECT_EQ((*parts)[0] + (*parts)[1] + (*parts)[2], 10'000u);
  EXPECT_FALSE(PartsOf({1.5, -0.5}).ok());
}

TEST(GatewayConfigTest, NamesWhatIsWrong) {
  struct Case {
    std::string text, problem;
  };
  const std::string listen = "listeners: [{port: 0}]\n";
  const std::vector<Case> cases = {
      {"services: []\n" + listen, "services: "},
      {Service("split: {by: header}"),
       "services[0].split.name: by header or cookie needs its name"},
      {Service("split: {by: client, name: x}"), "services[0].split.name: is of a split by header"},
      {Service("timeouts: {total: 1s, per_try: 2s}"), "services[0].timeouts.per_try: must not be"},
      {Service("health: {path: healthz}"), "services[0].health.path: must begin with /"},
      {Service("health: {path: \"/a b\"}"), "services[0].health.path: must be percent-encoded"},
      {Service("health: {path: /h, host: \"a b\"}"),
       "services[0].health.host: must be as in a URL"},
      {Service("mirror: {share: 10%}"), "services[0].mirror.share: needs version"},
      {Service("mirror: {version: 7}"),
       "services[0].mirror.version: there is no version 7; versions: "},
      {Service("mirror: {version: 1, share: 2}"), "services[0].mirror.share: "},
      {Service("tls: {cert_file: a}"), "services[0].tls.key_file: cert_file and key_file go"},
      {Service("tls: {server_name: \"a b\"}"), "services[0].tls.server_name: must be a host's"},
      {Service("tls: {verify: false, ca_file: a}"), "services[0].tls.ca_file: is of no use"},
      {Service("protocol: h2c"), "services[0].protocol: "},
      {Service("protocol: grpc\n    mirror: {version: 7}"),
       "services[0].mirror.version: there is no version 7; versions: "},
      {"listeners: [{port: 0, tls: {cert_file: a}}]\nservices: [{name: a, versions: [{version: 1, "
       "endpoints: [\"a:1\"]}]}]",
       "listeners[0].tls: cert_file and key_file go together"},
      {"listeners: [{port: 0, protocol: spdy}]\nservices: [{name: a, versions: [{version: 1, "
       "endpoints: [\"a:1\"]}]}]",
       "listeners[0].protocol: "},
      {Service("") + "routes: [{service: digit}]\n",
       "routes[0].service: there is no service digit; did you mean digits?"},
      {Service("") + "routes: [{service: digits, path: v1}]\n",
       "routes[0].path: must begin with /"},
      {Service("") + "routes: [{service: digits, host: \"a:80\"}]\n",
       "routes[0].host: must be a host's name alone"},
      {Service("") + "routes: [{service: digits, headers: {\"a b\": x}}]\n",
       "routes[0].headers: 'a b' is no header's name"},
      {"listeners: [{port: 80}, {port: 80}]\n" + Service("").substr(listen.size()),
       "listeners[1].port: listeners[0] has this port already"},
      {listen + "services: [{name: a, versions: [{version: 1, endpoints: [\"a:1\"]}]}, {name: a, "
                "versions: [{version: 1, endpoints: [\"a:1\"]}]}]\nroutes: [{service: a}]",
       "services[1].name: services[0] has the name a already"},
      {listen + "services: [{name: a, versions: [{version: 1, endpoints: [\"a:1\"]}]}, {name: b, "
                "versions: [{version: 1, endpoints: [\"a:1\"]}]}]",
       "routes: several services need routes"},
      {listen + "services: [{name: a, versions: [{version: 1, endpoints: [\"a:1\", \"a:1\"]}]}]",
       "services[0].versions[0].endpoints[1]: stands there twice"},
      {listen + "services: [{name: a, versions: [{version: 1, endpoints: [\"a:1\"]}, {version: 1, "
                "endpoints: [\"b:1\"]}]}]",
       "services[0].versions[1].version: there is already a version of this number"},
  };
  for (const Case& c : cases) {
    const auto problems = ProblemsOf(c.text);
    ASSERT_FALSE(problems.empty()) << c.text;
    EXPECT_EQ(problems[0].substr(0, c.problem.size()), c.problem) << c.text;
  }
}

TEST(GatewayConfigTest, BodiesAreDecodedUnlessARouteSaysOtherwise) {
  Options options;
  EXPECT_TRUE(ProblemsOf(Service("") +
                             "decode: {max_body: 64KiB, max_held_bytes: 8MiB, max_queue: 10}\n"
                             "routes:\n"
                             "  - {service: digits, path: /a, decode: {sample: 10%, request: "
                             "{feature.age: x.age}, response: {predicted: y}}}\n"
                             "  - {service: digits}\n",
                         &options)
                  .empty());
  EXPECT_EQ(options.decode.sample, 1);
  EXPECT_EQ(options.decode.max_body, size_t{64} << 10);
  EXPECT_EQ(options.routes[0].decode.sample, 0.1);
  EXPECT_EQ(options.routes[0].decode.request.at("feature.age"), "x.age");
  EXPECT_EQ(options.routes[0].decode.response.at("predicted"), "y");
  EXPECT_FALSE(options.routes[1].decode.sample);
}

TEST(GatewayConfigTest, AChecksHostMayHaveAPort) {
  EXPECT_TRUE(ProblemsOf(Service("health: {path: /h, host: \"models.local:8080\"}")).empty());
}

TEST(GatewayConfigTest, EndpointsAreHostAndPort) {
  EXPECT_EQ(ParseEndpoint("[::1]:80").value(), std::pair(std::string("::1"), std::string("80")));
  EXPECT_EQ(ParseEndpoint("models.local:8080").value().first, "models.local");
  for (const char* wrong : {"", "a", ":80", "a:", "a:0", "a:65536", "a:x", "a:+1", "http://a:80",
                            "::1:80", "a b:80", "a/b:80", "[]:80"}) {
    EXPECT_FALSE(ParseEndpoint(wrong).ok()) << wrong;
  }
}

}  // namespace
}  // namespace leadsman::gateway
