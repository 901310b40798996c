/** How an attempt fails because of its trainer. */

const MESSAGE_CHARACTERS = 4000;

export class TrainerFailure extends Error {
  override readonly name = "TrainerFailure";
  /** trainer-start, trainer-exited, trainer-protocol, trainer-silent, trainer-flood, trainer-ended, or the trainer's own code. */
  readonly code: string;
  readonly retryable: boolean;
  /** Its trainer could not be started: it says nothing of the run. */
  beforeRun = false;
  /** A signal ended it that stops all processes of a job: it may be on its way to this one. */
  byStopSignal = false;
  /** The end of what the trainer wrote on stderr. */
  logTail = "";

  constructor(code: string, message: string, retryable = true) {
    super(message.length > MESSAGE_CHARACTERS ? `${message.slice(0, MESSAGE_CHARACTERS)}…` : message);
    this.code = code;
    this.retryable = retryable;
  }
}
