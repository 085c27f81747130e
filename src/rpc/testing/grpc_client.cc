#include "rpc/testing/grpc_client.h"

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include "base/strings.h"

namespace leadsman::rpc {
namespace {

constexpr std::chrono::seconds kPatience{20};

grpc::ByteBuffer ToBuffer(const std::string& bytes) {
  grpc::Slice slice(bytes);
  return grpc::ByteBuffer(&slice, 1);
}
std::string ToString(const grpc::ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  std::string bytes;
  if (!buffer.Dump(&slices).ok()) return bytes;
  for (const grpc::Slice& slice : slices)
    bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  return bytes;
}
Status FromGrpc(const grpc::Status& status) {
  return Status(static_cast<StatusCode>(status.error_code()), status.error_message());
}

class StreamImpl final : public GrpcClient::Stream {
 public:
  StreamImpl(grpc::GenericStub& stub, const std::string& path,
             const GrpcClient::Metadata& metadata) {
    for (const auto& [name, value] : metadata) context_.AddMetadata(name, value);
    context_.set_deadline(std::chrono::system_clock::now() + kPatience);
    stream_ = stub.PrepareCall(&context_, path, &queue_);
    stream_->StartCall(this);
    Await();
  }
  ~StreamImpl() override {
    context_.TryCancel();
    if (!finished_) static_cast<void>(Finish());
    queue_.Shutdown();
    void* tag;
    bool ok;
    while (queue_.Next(&tag, &ok)) {
    }
  }
  bool Write(const std::string& message) override {
    stream_->Write(ToBuffer(message), this);
    return Await();
  }
  bool Read(std::string& message) override {
    grpc::ByteBuffer buffer;
    stream_->Read(&buffer, this);
    if (!Await()) return false;
    message = ToString(buffer);
    return true;
  }
  void WritesDone() override {
    stream_->WritesDone(this);
    Await();
  }
  void Cancel() override { context_.TryCancel(); }
  Status Finish() override {
    finished_ = true;
    grpc::Status status;
    stream_->Finish(&status, this);
    Await();
    return FromGrpc(status);
  }

 private:
  /// One operation at a time.
  bool Await() {
    void* tag;
    bool ok = false;
    return queue_.Next(&tag, &ok) && ok;
  }
  grpc::ClientContext context_;
  grpc::CompletionQueue queue_;
  std::unique_ptr<grpc::GenericClientAsyncReaderWriter> stream_;
  bool finished_ = false;
};

}  // namespace

struct GrpcClient::Impl {
  std::shared_ptr<grpc::Channel> channel;
  std::unique_ptr<grpc::GenericStub> stub;
  grpc_compression_algorithm compression = GRPC_COMPRESS_NONE;
};

GrpcClient::GrpcClient(uint16_t port, Options options) : impl_(std::make_unique<Impl>()) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetMaxReceiveMessageSize(options.max_receive_bytes);
  if (options.gzip) impl_->compression = GRPC_COMPRESS_GZIP;
  std::shared_ptr<grpc::ChannelCredentials> credentials = grpc::InsecureChannelCredentials();
  if (!options.authorities.empty()) {
    credentials = grpc::SslCredentials({options.authorities, options.key, options.certificate});
  }
  impl_->channel =
      grpc::CreateCustomChannel(options.socket_path.empty() ? StrCat("127.0.0.1:", port)
                                                            : StrCat("unix:", options.socket_path),
                                credentials, arguments);
  impl_->stub = std::make_unique<grpc::GenericStub>(impl_->channel);
}
GrpcClient::~GrpcClient() = default;

GrpcClient::Answer GrpcClient::Call(const std::string& path, const std::string& request,
                                    const Metadata& metadata, std::chrono::milliseconds timeout) {
  grpc::ClientContext context;
  for (const auto& [name, value] : metadata) context.AddMetadata(name, value);
  context.set_deadline(std::chrono::system_clock::now() + timeout);
  context.set_compression_algorithm(impl_->compression);
  grpc::CompletionQueue queue;
  grpc::ByteBuffer response;
  grpc::Status status;
  const grpc::ByteBuffer buffer = ToBuffer(request);
  auto call = impl_->stub->PrepareUnaryCall(&context, path, buffer, &queue);
  call->StartCall();
  call->Finish(&response, &status, nullptr);
  void* tag;
  bool ok;
  queue.Next(&tag, &ok);
  Answer answer{FromGrpc(status), ToString(response), {}};
  for (const auto& [name, value] : context.GetServerInitialMetadata()) {
    answer.initial_metadata.emplace(std::string(name.data(), name.size()),
                                    std::string(value.data(), value.size()));
  }
  return answer;
}

std::unique_ptr<GrpcClient::Stream> GrpcClient::Open(const std::string& path,
                                                     const Metadata& metadata) {
  return std::make_unique<StreamImpl>(*impl_->stub, path, metadata);
}

}  // namespace leadsman::rpc
