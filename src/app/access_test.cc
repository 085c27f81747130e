#include "app/access.h"

#include <gtest/gtest.h>

#include <memory>

#include "base/strings.h"
#include "base/testing/temp_dir.h"

namespace leadsman {
namespace {

std::string Describe(const Access& access) {
  constexpr const char* kNames[] = {"probe", "metrics", "server", "model",
                                    "list",  "control", "label",  "admin"};
  return StrCat(kNames[size_t(access.operation)], access.model.empty() ? "" : " ", access.model,
                access.model_to_come ? " to come" : "");
}

TEST(AccessTest, KnowsTheServingPort) {
  struct Case {
    const char *method, *path, *expected;
  };
  const ServingPaths paths{"/monitoring/metrics",
                           [](std::string_view path) { return StrCat("of ", path); }};
  for (const Case& c : std::initializer_list<Case>{
           {"GET", "/v2/health/live", "probe"},
           {"GET", "/v2/health/ready", "probe"},
           {"GET", "/ping", "probe"},
           {"POST", "/ping", "list"},
           {"GET", "/", "server"},
           {"GET", "/v2", "server"},
           {"POST", "/v1/models/iris:predict", "model iris"},
           {"POST", "/V1/Models/iris/versions/3:predict", "model iris"},
           {"GET", "/v1/models/ir%69s", "model iris"},
           {"GET", "/v1/models/%zz", "model"},
           {"GET", "/v1/models/", "model"},
           {"GET", "/v1/models", "list"},
           {"POST", "/v2/models/iris/infer", "model iris"},
           {"GET", "/v2/models/iris/ready", "model iris"},
           {"POST", "/v2//models/iris/infer", "control"},
           {"POST", "/predict", "model to come"},
           {"POST", "/invocations", "model to come"},
           {"POST", "/predict/", "model to come"},
           {"POST", "/predict/iris", "model iris"},
           {"POST", "/predict/a%2Fb/c", "model a/b/c"},
           {"GET", "/v2/models/stats", "list"},
           {"GET", "/v2/models/iris/stats", "model iris"},
           {"POST", "/v2/repository/index", "list"},
           {"POST", "/v2/repository/models/iris/unload", "control"},
           {"POST", "/v2/logging", "control"},
           {"GET", "/v2/logging", "list"},
           {"GET", "/monitoring/metrics", "metrics"},
           {"GET", "/metrics", "list"},
           {"GET", "/something/else", "list"},
       }) {
    EXPECT_EQ(Describe(ServingAccess(c.method, c.path, paths)), c.expected)
        << c.method << " " << c.path;
  }
  for (const char* path : {"/predict", "/predict/", "/invocations"}) {
    EXPECT_TRUE(NamesNoModel(path)) << path;
    EXPECT_EQ(Describe(DefaultModelAccess(path, paths)), StrCat("model of ", path));
  }
  EXPECT_FALSE(NamesNoModel("/predict/iris"));
}

TEST(AccessTest, KnowsTheAdminPort) {
  struct Case {
    const char *method, *path, *expected;
  };
  for (const Case& c : std::initializer_list<Case>{
           {"GET", "/livez", "probe"},
           {"GET", "/readyz", "probe"},
           {"POST", "/readyz", "admin"},
           {"GET", "/metrics", "metrics"},
           {"POST", "/api/v1/labels", "label"},
           {"POST", "/api/v1/events", "label"},
           {"POST", "/api/v1/profiles", "label"},
           {"GET", "/api/v1/edges", "admin"},
           {"POST", "/api/v1/labels/", "admin"},
           {"PUT", "/api/v1/models/m/labels/stable", "admin"},
           {"GET", "/api/v1/configuration", "admin"},
           {"GET", "/openapi.json", "admin"},
           {"GET", "/anything", "admin"},
       }) {
    EXPECT_EQ(Describe(AdminAccess(c.method, c.path)), c.expected) << c.path;
  }
}

TEST(AccessTest, KnowsTheGrpcPort) {
  struct Case {
    const char *method, *expected;
  };
  for (const Case& c : std::initializer_list<Case>{
           {"/grpc.health.v1.Health/Check", "probe"},
           {"/inference.GRPCInferenceService/ServerLive", "probe"},
           {"/inference.GRPCInferenceService/ModelInfer", "model iris"},
           {"/inference.GRPCInferenceService/ModelMetadata", "model iris"},
           {"/inference.GRPCInferenceService/RepositoryIndex", "list"},
           {"/inference.GRPCInferenceService/RepositoryModelLoad", "control"},
           {"/tensorflow.serving.PredictionService/Predict", "model iris"},
           {"/tensorflow.serving.ModelService/GetModelStatus", "model iris"},
           {"/tensorflow.serving.ModelService/HandleReloadConfigRequest", "control"},
           {"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", "server"},
           {"/some.Service/Method", "control"},
       }) {
    EXPECT_EQ(Describe(GrpcAccess(c.method, {.to_come = false, .name = "iris"})), c.expected)
        << c.method;
  }
  EXPECT_EQ(Describe(GrpcAccess("/inference.GRPCInferenceService/ModelInfer",
                                {.to_come = true, .name = {}})),
            "model to come");
}

/// Each operation by each kind of token.
TEST(AccessTest, TheTableOfWhatIsNeededForWhat) {
  TempDir dir;
  auto start = [&](bool protect_metrics) {
    AuthOptions options;
    options.tokens_file = dir.Write("tokens.yaml", R"(tokens:
- {name: limited, token: limited-0123456789, roles: [predict], models: [iris]}
- {name: predict, token: predict-0123456789, roles: [predict]}
- {name: label, token: label-0123456789ab, roles: [label]}
- {name: metrics, token: metrics-0123456789, roles: [metrics]}
- {name: limited-admin, token: limited-admin-0123, roles: [admin], models: [iris]}
- {name: admin, token: admin-0123456789ab, roles: [admin]}
)");
    options.protect_metrics = protect_metrics;
    return Authorizer::Create(options, SystemClock()).value();
  };
  auto authorizer = start(true);
  struct Case {
    Access access;
    const char* allowed;  ///< nobody, limited, predict, label, metrics, limited-admin, admin
  };
  for (const Case& c : std::initializer_list<Case>{
           {{Operation::kProbe}, "*******"},
           {{Operation::kReadMetrics}, "....***"},
           {{Operation::kDescribeServer}, ".**..**"},
           {{Operation::kUseModel, "iris"}, ".**..**"},
           {{Operation::kUseModel, "digits"}, "..*...*"},
           {{Operation::kUseModel, ""}, "..*...*"},
           {{Operation::kUseModel, "", true}, ".**..**"},
           {{Operation::kListModels}, "..*...*"},
           {{Operation::kControl}, "......*"},
           {{Operation::kLabel}, "...*.**"},
           {{Operation::kAdminister}, "......*"},
       }) {
    std::string allowed;
    for (const char* field :
         {"", "Bearer limited-0123456789", "Bearer predict-0123456789", "Bearer label-0123456789ab",
          "Bearer metrics-0123456789", "Bearer limited-admin-0123", "Bearer admin-0123456789ab"}) {
      allowed += CheckAccess(*authorizer, c.access, field).ok() ? '*' : '.';
    }
    EXPECT_EQ(allowed, c.allowed) << Describe(c.access);
  }
  EXPECT_TRUE(CheckAccess(*start(false), {Operation::kReadMetrics}, "").ok());
}

}  // namespace
}  // namespace leadsman
