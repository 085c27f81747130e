#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/mutex.h"
#include "base/status.h"
#include "storage/store_http.h"
#include "storage/store_options.h"

namespace leadsman {

struct AwsCredentials {
  std::string access_key, secret_key, session_token;
  std::optional<WallTime> expires;
  std::string origin;  ///< for messages: "the environment (AWS_ACCESS_KEY_ID)"
};

/// Section → key → value of an AWS credentials or config file. Lines that say nothing are skipped.
/// Section names lose "profile " in front.
using AwsProfiles = std::map<std::string, std::map<std::string, std::string>>;
AwsProfiles ParseAwsProfiles(std::string_view text);

/// The answer of STS AssumeRoleWithWebIdentity. UNAUTHENTICATED with the code that STS gives.
Result<AwsCredentials> ParseStsAnswer(std::string_view xml);
/// The JSON of a container's or machine's credential service.
Result<AwsCredentials> ParseCredentialService(std::string_view json);
/// "2026-03-01T12:34:56Z", fractions of a second allowed.
std::optional<WallTime> ParseIsoTime(std::string_view text);

/// Finds credentials where AWS's own tools do, in their order: environment, web identity token,
/// shared credentials file, container service, machine (IMDSv2). What is found is kept until it is
/// about to expire or was refused. Thread-safe; Get() may ask the network.
class AwsCredentialChain {
 public:
  AwsCredentialChain(const StorageOptions::S3& options, Environment environment, StoreHttp& http)
      : options_(options), environment_(std::move(environment)), http_(http) {}

  /// UNAUTHENTICATED says where was looked and what was missing.
  Result<AwsCredentials> Get(const StoreCall& call);
  /// The store refused these: the next Get() looks again.
  void Refused(const AwsCredentials& credentials);
  /// storage.s3.region, AWS_REGION, AWS_DEFAULT_REGION, the profile's; else us-east-1.
  std::string Region() const;

 private:
  Result<AwsCredentials> Find(const StoreCall& call);
  Result<AwsCredentials> FromWebIdentity(const StoreCall& call);
  Result<AwsCredentials> FromContainer(const StoreCall& call);
  Result<AwsCredentials> FromMachine(const StoreCall& call);
  std::optional<AwsCredentials> FromProfile() const;
  std::string ProfileName() const;
  std::string FileOf(const char* variable, const char* name) const;

  const StorageOptions::S3& options_;
  const Environment environment_;
  StoreHttp& http_;
  Mutex mutex_;
  std::optional<AwsCredentials> kept_ GUARDED_BY(mutex_);
};

}  // namespace leadsman
