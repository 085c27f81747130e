#pragma once

#include "intake/log_record.h"

namespace leadsman::intake {

/// Sets path, model, version, version_label, inference and grpc from the request's target ("/v1/models/digits:predict?x=1", or a
/// whole URL). Known are the paths of TensorFlow Serving and KServe V1 (/v1/models/…:predict), of V2 and Triton
/// (/v2/models/…/infer), behind any prefix of a gateway; MLflow's /invocations, the plain /predict, and the gRPC methods of V2
/// and TensorFlow Serving (which name no model). uvicorn writes the colon as %3A.
void SetTarget(std::string_view target, LogRecord& record);

}  // namespace leadsman::intake
