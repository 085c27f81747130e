// Everything that comes from a store and is taken apart. The first byte says as what.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "storage/aws_credentials.h"
#include "storage/gcs_credentials.h"
#include "storage/gcs_store.h"
#include "storage/http_store.h"
#include "storage/mlflow_store.h"
#include "storage/s3_store.h"
#include "storage/store_record.h"
#include "storage/store_uri.h"
#include "storage/webhdfs_store.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace leadsman;  // NOLINT
  if (size == 0) return 0;
  std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0]) {
    case 's':
      static_cast<void>(ParseS3Page(text));
      static_cast<void>(ParseS3Error(text));
      static_cast<void>(ParseStsAnswer(text));
      break;
    case 'g':
      static_cast<void>(ParseGcsPage(text));
      static_cast<void>(ParseGoogleKey(text));
      static_cast<void>(ParseTokenAnswer(text, {}));
      break;
    case 'h':
      static_cast<void>(ParseListStatus(text));
      static_cast<void>(ParseHdfsError(text));
      break;
    case 'i':
      static_cast<void>(ParseHttpIndex(text));
      break;
    case 'm':
      static_cast<void>(ParseMlflowVersions(text));
      static_cast<void>(ParseMlflowArtifacts(text));
      break;
    case 'a':
      static_cast<void>(ParseAwsProfiles(text));
      static_cast<void>(ParseCredentialService(text));
      static_cast<void>(ParseIsoTime(text));
      break;
    case 'r':
      static_cast<void>(ParseListingRecord(text));
      static_cast<void>(ParseFilesRecord(text));
      break;
    default:
      static_cast<void>(ParseStoreUri(text));
      static_cast<void>(RedactUrl(text));
      static_cast<void>(VersionOfArchive(text));
  }
  return 0;
}
