#include "auth/authorizer.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <atomic>
#include <thread>

#include "auth/token_file.h"
#include "base/strings.h"
#include "base/testing/temp_dir.h"

namespace leadsman {
namespace {

constexpr const char* kShop = "shop-token-0123456789";
constexpr const char* kBoss = "boss-token-0123456789";

std::string Hex(const auth::Digest& digest) {
  std::string out;
  for (uint8_t byte : digest) {
    out += "0123456789abcdef"[byte >> 4];
    out += "0123456789abcdef"[byte & 15];
  }
  return out;
}

class AuthorizerTest : public testing::Test {
 protected:
  void Start(const std::string& content) {
    AuthOptions options;
    options.tokens_file = dir_.Write("tokens.yaml", content);
    auto made = Authorizer::Create(options, SystemClock());
    ASSERT_TRUE(made.ok()) << made.status();
    authorizer_ = std::move(made).value();
  }
  StatusCode Check(const std::string& token, Role role, std::string_view model = "") {
    const ModelScope scope = model.empty() ? ModelScope::None() : ModelScope::One(model);
    return authorizer_->Check(token.empty() ? "" : "Bearer " + token, role, scope).code();
  }
  TempDir dir_;
  std::unique_ptr<Authorizer> authorizer_;
};

TEST_F(AuthorizerTest, KnowsTokensAndTheirHashes) {
  Start(StrCat("tokens:\n- {name: shop, sha256: ", Hex(auth::Sha256(kShop)),
               ", roles: [predict]}\n- {name: boss, token: ", kBoss, ", roles: [admin]}\n"));
  EXPECT_EQ(Check(kShop, Role::kPredict), StatusCode::kOk);
  EXPECT_EQ(Check(kBoss, Role::kPredict), StatusCode::kOk);  // an admin may do everything
  EXPECT_EQ(Check(kBoss, Role::kMetrics), StatusCode::kOk);
  EXPECT_EQ(Check(kShop, Role::kAdmin), StatusCode::kPermissionDenied);
  EXPECT_EQ(Check(kShop, Role::kLabel), StatusCode::kPermissionDenied);
  EXPECT_EQ(Check("shop-token-012345678", Role::kPredict), StatusCode::kUnauthenticated);
  EXPECT_EQ(Check(Hex(auth::Sha256(kShop)), Role::kPredict), StatusCode::kUnauthenticated);
  EXPECT_EQ(Check("", Role::kPredict), StatusCode::kUnauthenticated);
  const Authorizer::Stats stats = authorizer_->stats();
  EXPECT_EQ(stats.allowed, 3u);
  EXPECT_EQ(stats.forbidden, 2u);
  EXPECT_EQ(stats.unknown, 2u);
  EXPECT_EQ(stats.missing, 1u);
  EXPECT_EQ(stats.tokens, 2u);
}

TEST_F(AuthorizerTest, ReadsTheFieldAsRfc6750Has) {
  Start(StrCat("tokens: [{name: s, token: ", kShop, ", roles: [predict]}]"));
  auto code = [&](const std::string& field) {
    return authorizer_->Check(field, Role::kPredict, ModelScope::None()).code();
  };
  EXPECT_EQ(code(StrCat("bearer ", kShop)), StatusCode::kOk);
  EXPECT_EQ(code(StrCat("BEARER   ", kShop, " ")), StatusCode::kOk);
  for (const std::string& field :
       {std::string("Bearer"), std::string("Bearer "), std::string("Basic dXNlcjpwYXNz"),
        std::string(kShop), StrCat("Bearer ", kShop, " ", kShop), std::string(9000, 'x'),
        StrCat("Bearer ", std::string(9000, 'x'))}) {
    EXPECT_EQ(code(field), StatusCode::kUnauthenticated) << field.substr(0, 50);
  }
}

TEST_F(AuthorizerTest, LimitsATokenToItsModels) {
  Start(StrCat("tokens: [{name: s, token: ", kShop,
               ", roles: [predict], models: [iris, \"dig*\"]}]"));
  EXPECT_EQ(Check(kShop, Role::kPredict, "iris"), StatusCode::kOk);
  EXPECT_EQ(Check(kShop, Role::kPredict, "digits"), StatusCode::kOk);
  EXPECT_EQ(Check(kShop, Role::kPredict, ""), StatusCode::kOk);
  EXPECT_EQ(Check(kShop, Role::kPredict, "iris2"), StatusCode::kPermissionDenied);
  EXPECT_EQ(Check(kShop, Role::kPredict, "xdigits"), StatusCode::kPermissionDenied);
}

TEST_F(AuthorizerTest, WhatMayBeAboutAnyModelNeedsATokenForAll) {
  Start(StrCat("tokens:\n- {name: s, token: ", kShop, ", roles: [predict], models: [\"*\"]}\n",
               "- {name: boss, token: ", kBoss, ", roles: [predict]}\n"));
  auto check = [&](const char* token, ModelScope scope) {
    return authorizer_->Check(StrCat("Bearer ", token), Role::kPredict, scope).code();
  };
  EXPECT_EQ(check(kShop, ModelScope::One("iris")), StatusCode::kOk);
  EXPECT_EQ(check(kShop, ModelScope::Any()), StatusCode::kPermissionDenied);
  EXPECT_EQ(check(kShop, ModelScope::One("")), StatusCode::kPermissionDenied);
  EXPECT_EQ(check(kBoss, ModelScope::Any()), StatusCode::kOk);
}

TEST_F(AuthorizerTest, TheFirstHalfOfACheckCountsRefusalsOnly) {
  Start(StrCat("tokens: [{name: s, token: ", kShop, ", roles: [predict], models: [iris]}]"));
  const std::string field = StrCat("Bearer ", kShop);
  EXPECT_TRUE(authorizer_->CheckRole(field, Role::kPredict).ok());
  EXPECT_EQ(authorizer_->stats().allowed, 0u);
  EXPECT_EQ(authorizer_->CheckRole(field, Role::kAdmin).code(), StatusCode::kPermissionDenied);
  EXPECT_EQ(authorizer_->CheckRole("", Role::kPredict).code(), StatusCode::kUnauthenticated);
  EXPECT_EQ(authorizer_->stats().forbidden, 1u);
  EXPECT_EQ(authorizer_->stats().missing, 1u);
}

TEST_F(AuthorizerTest, MatchesPatterns) {
  struct Case {
    const char *pattern, *text;
    bool matches;
  };
  for (const Case& c : std::initializer_list<Case>{{"a", "a", true},
                                                   {"a", "ab", false},
                                                   {"*", "", true},
                                                   {"*", "abc", true},
                                                   {"a*c", "abbc", true},
                                                   {"a*c", "abcd", false},
                                                   {"a?c", "abc", true},
                                                   {"a?c", "ac", false},
                                                   {"*a*b*", "xxaxxbxx", true},
                                                   {"*a*b*", "xxbxxaxx", false},
                                                   {"a.c", "abc", false},
                                                   {"", "", true},
                                                   {"", "a", false}}) {
    EXPECT_EQ(auth::MatchesPattern(c.pattern, c.text), c.matches) << c.pattern << " " << c.text;
  }
  // No pattern takes long.
  EXPECT_FALSE(auth::MatchesPattern("*a*a*a*a*a*a*a*a*a*a*b", std::string(5000, 'a')));
}

TEST_F(AuthorizerTest, TakesAChangedFileAndKeepsTheOldOneWhenTheNewIsBroken) {
  Start(StrCat("tokens: [{name: s, token: ", kShop, ", roles: [predict]}]"));
  EXPECT_FALSE(authorizer_->CheckFiles());
  dir_.Write("tokens.yaml", StrCat("tokens: [{name: b, token: ", kBoss, ", roles: [admin]}]"));
  EXPECT_TRUE(authorizer_->CheckFiles());
  EXPECT_EQ(Check(kShop, Role::kPredict), StatusCode::kUnauthenticated);
  EXPECT_EQ(Check(kBoss, Role::kAdmin), StatusCode::kOk);
  dir_.Write("tokens.yaml", "tokens: [{name: b}]");
  for (int i = 0; i < 4; ++i) EXPECT_FALSE(authorizer_->CheckFiles());
  EXPECT_EQ(Check(kBoss, Role::kAdmin), StatusCode::kOk);
  EXPECT_EQ(authorizer_->stats().reloads, 1u);
  EXPECT_EQ(authorizer_->stats().failed_reloads, 1u);
}

TEST_F(AuthorizerTest, NamesWhatIsWrongAndShowsNoToken) {
  const std::string hash = Hex(auth::Sha256(kShop));
  auto problem = [](const std::string& text) {
    auto file = auth::ParseTokenFile(text, "t.yaml");
    return file.ok() ? std::string() : std::string(file.status().message());
  };
  struct Case {
    std::string text;
    const char* expected;
  };
  for (const Case& c : std::initializer_list<Case>{
           {"", "tokens"},
           {"tokens: [{name: a, token: secret, roles: [predict]}]", "must have 16 to 4096"},
           {"tokens: [{name: a, token: \"secret secret secret\", roles: [predict]}]", "printable"},
           {"tokens: [{name: a, sha256: secretsecret, roles: [predict]}]", "64 hexadecimal"},
           {"tokens: [{name: a, roles: [predict]}]", "one of token and sha256"},
           {StrCat("tokens: [{name: a, token: secretsecretsecret, sha256: ", hash,
                   ", roles: [predict]}]"),
            "one of token and sha256"},
           {"tokens: [{name: a, token: secretsecretsecret, roles: []}]", "roles"},
           {"tokens: [{name: a, token: secretsecretsecret, roles: [root]}]", "roles"},
           {"tokens: [{name: a, token: secretsecretsecret, roles: [label]}, {name: a, token: "
            "other-secretsecret, roles: [label]}]",
            "has this name already"},
           {"tokens: [{name: a, token: secretsecretsecret, roles: [label]}, {name: b, token: "
            "secretsecretsecret, roles: [label]}]",
            "is the same token"},
           {"tokens: [{name: a, token: [secretsecretsecret], roles: [label]}]", "token"},
           {"- secretsecretsecret", "t.yaml:1"},
           {"secretsecretsecret", "t.yaml:1"},
           {"tokens: [{secretsecretsecret: a}]", "t.yaml:1"},
           {"tokens: {secretsecretsecret: secretsecretsecret}", "t.yaml:1"},
           {"tokens: [{name: a, token: secretsecretsecret, roles: [secretsecretsecret]}]", "roles"},
           {"tokens: [{name: a, token: \"secretsecretsecret\nroles: [predict]}]", "t.yaml:"},
       }) {
    const std::string message = problem(c.text);
    EXPECT_NE(message.find(c.expected), std::string::npos) << c.text << "\n" << message;
    EXPECT_EQ(message.find("secretsecret"), std::string::npos) << message;
  }
  EXPECT_EQ(problem("{\"tokens\": []}"), "");
}

TEST_F(AuthorizerTest, ChecksWhileItReloads) {
  const std::string one = StrCat("tokens: [{name: s, token: ", kShop, ", roles: [predict]}]");
  const std::string two =
      StrCat("tokens: [{name: s, token: ", kShop, ", roles: [predict, label]}]");
  Start(one);
  std::atomic<bool> stop{false};
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 2; ++t) {
    threads.emplace_back([&] {
      while (!stop) wrong += Check(kShop, Role::kPredict) != StatusCode::kOk;
    });
  }
  for (int i = 0; i < 20; ++i) {
    dir_.Write("tokens.yaml", i % 2 == 0 ? two : one);
    authorizer_->CheckFiles();
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(authorizer_->stats().reloads, 20u);
}

}  // namespace
}  // namespace leadsman
