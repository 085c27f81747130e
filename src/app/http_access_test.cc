#include "app/http_access.h"

#include <gtest/gtest.h>

namespace leadsman {
namespace {

std::string Describe(const HttpAccess& access) {
  if (access.open) return "open";
  return std::string(RoleName(access.role)) + (access.any_model ? " any" : "") +
         (access.model.empty() ? "" : " " + access.model);
}

TEST(HttpAccessTest, KnowsTheServingPort) {
  struct Case {
    const char *method, *path, *expected;
  };
  for (const Case& c : std::initializer_list<Case>{
           {"GET", "/v2/health/live", "open"},
           {"GET", "/v2/health/ready", "open"},
           {"GET", "/ping", "open"},
           {"POST", "/ping", "predict any"},
           {"GET", "/", "predict"},
           {"GET", "/v2", "predict"},
           {"POST", "/v1/models/iris:predict", "predict iris"},
           {"POST", "/V1/Models/iris/versions/3:predict", "predict iris"},
           {"GET", "/v1/models/ir%69s", "predict iris"},
           {"GET", "/v1/models/%zz", "predict any"},
           {"GET", "/v1/models/", "predict any"},
           {"GET", "/v1/models", "predict any"},
           {"POST", "/v2/models/iris/infer", "predict iris"},
           {"GET", "/v2/models/iris/ready", "predict iris"},
           {"POST", "/v2//models/iris/infer", "admin any"},
           {"POST", "/predict", "predict only"},
           {"POST", "/invocations", "predict only"},
           {"POST", "/predict/", "predict only"},
           {"POST", "/predict/iris", "predict iris"},
           {"POST", "/predict/a%2Fb/c", "predict a/b/c"},
           {"GET", "/v2/models/stats", "predict any"},
           {"GET", "/v2/models/iris/stats", "predict iris"},
           {"POST", "/v2/repository/index", "predict any"},
           {"POST", "/v2/repository/models/iris/unload", "admin any"},
           {"POST", "/v2/logging", "admin any"},
           {"GET", "/v2/logging", "predict any"},
           {"GET", "/something/else", "predict any"},
       }) {
    EXPECT_EQ(Describe(ServingAccess(c.method, c.path, [] { return std::string("only"); })),
              c.expected)
        << c.method << " " << c.path;
  }
  EXPECT_EQ(Describe(ServingAccess("POST", "/predict", [] { return std::string(); })),
            "predict any");
}

TEST(HttpAccessTest, KnowsTheAdminPort) {
  struct Case {
    const char *method, *path, *expected;
  };
  for (const Case& c : std::initializer_list<Case>{
           {"GET", "/livez", "open"},
           {"GET", "/readyz", "open"},
           {"POST", "/readyz", "admin"},
           {"GET", "/metrics", "open"},
           {"POST", "/api/v1/labels", "label"},
           {"POST", "/api/v1/labels/", "admin"},
           {"PUT", "/api/v1/models/m/labels/stable", "admin"},
           {"GET", "/api/v1/configuration", "admin"},
           {"GET", "/openapi.json", "admin"},
           {"GET", "/anything", "admin"},
       }) {
    EXPECT_EQ(Describe(AdminAccess(c.method, c.path, false)), c.expected) << c.path;
  }
  EXPECT_EQ(Describe(AdminAccess("GET", "/metrics", true)), "metrics");
}

TEST(HttpAccessTest, KnowsTheGrpcPort) {
  struct Case {
    const char *method, *expected;
  };
  for (const Case& c : std::initializer_list<Case>{
           {"/grpc.health.v1.Health/Check", "open"},
           {"/inference.GRPCInferenceService/ServerLive", "open"},
           {"/inference.GRPCInferenceService/ModelInfer", "predict"},
           {"/inference.GRPCInferenceService/ModelMetadata", "predict any"},
           {"/inference.GRPCInferenceService/RepositoryModelLoad", "admin any"},
           {"/tensorflow.serving.PredictionService/Predict", "predict"},
           {"/tensorflow.serving.ModelService/GetModelStatus", "predict any"},
           {"/tensorflow.serving.ModelService/HandleReloadConfigRequest", "admin any"},
           {"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", "predict"},
       }) {
    EXPECT_EQ(Describe(GrpcAccess(c.method)), c.expected) << c.method;
  }
}

}  // namespace
}  // namespace leadsman
