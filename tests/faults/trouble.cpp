#include "trouble.h"

#include <fcntl.h>
#include <unistd.h>

#include <chrono>
#include <new>
#include <system_error>

#include "memory/file_descriptor.h"
#include "memory_faults.h"

namespace qvl::faults {
namespace {

// So many requests for memory, a few questions' worth, may go well before the one that does not.
constexpr uint64_t kFarthest = 2000;

}  // namespace

Trouble::Trouble(detail::Runtime& runtime, std::filesystem::path features, unsigned seed)
    : runtime_(runtime), features_(std::move(features)), random_(seed) {
  thread_ = std::jthread([this](const std::stop_token& stop) { make(stop); });
}

Trouble::~Trouble() {
  thread_.request_stop();
  thread_.join();
  allow_memory();
}

void Trouble::make(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    try {
      switch (random_() % 4) {
        case 0:
          hold_the_rest();
          break;
        case 1:
          damage_a_file();
          break;
        default:
          refuse_memory(1 + random_() % kFarthest, Failing::once);
      }
    } catch (const std::bad_alloc&) {  // it got nothing itself
    }
    std::this_thread::sleep_for(std::chrono::microseconds(random_() % 2000));
  }
}

// What is kept of earlier requests is given up for it.
void Trouble::hold_the_rest() {
  Ledger& ledger = runtime_.layer.memory().ledger();
  const auto rest = ledger.reserve(MemoryPart::other, ledger.free_bytes() + runtime_.caches->bytes());
  std::this_thread::sleep_for(std::chrono::microseconds(random_() % 1000));
}

// Cuts it off or writes into the middle of it.
void Trouble::damage_a_file() {
  const auto files = stored_files(features_);
  if (files.empty()) return;
  const StoredFile& file = files[random_() % files.size()];
  if (random_() % 2 == 0) {
    std::error_code gone;
    std::filesystem::resize_file(file.path, file.bytes / 2, gone);
    return;
  }
  const FileDescriptor open(::open(file.path.c_str(), O_WRONLY | O_CLOEXEC));
  const uint32_t noise = random_();
  if (open) (void)!::pwrite(open.get(), &noise, sizeof noise, static_cast<off_t>(file.bytes / 2));
}

}  // namespace qvl::faults
