import { useCallback, useRef, useState } from "react";
import { problemText } from "../../parts/Feedback";
import { requestOf, type Parameters, type Turn } from "./conversation";
import { streamChat } from "./stream";

/** A conversation with one service: send, stop, edit and resend. */
export function useChat(model: string | undefined, parameters: Parameters) {
  const [turns, setTurns] = useState<Turn[]>([]);
  const [busy, setBusy] = useState(false);
  const abort = useRef<AbortController | null>(null);

  const run = useCallback(
    async (history: Turn[]) => {
      if (!model) return;
      const stop = new AbortController();
      abort.current = stop;
      setBusy(true);
      setTurns([...history, { role: "assistant", content: "" }]);
      const change = (update: (turn: Turn) => Turn) => setTurns((current) => current.map((turn, index) => (index === history.length ? update(turn) : turn)));
      try {
        await streamChat(requestOf(model, parameters, history), stop.signal, {
          onText: (text) => change((turn) => ({ ...turn, content: turn.content + text })),
          onCalls: (toolCalls) => change((turn) => ({ ...turn, toolCalls })),
          onMeasured: (measured) => change((turn) => ({ ...turn, measured })),
        });
      } catch (error) {
        change((turn) => (stop.signal.aborted ? { ...turn, stopped: true } : { ...turn, error: problemText(error) }));
      } finally {
        setBusy(false);
      }
    },
    [model, parameters],
  );

  const send = useCallback((text: string) => run([...turns, { role: "user", content: text }]), [run, turns]);
  /** Answers the tool calls of the last turn, and lets the model go on. */
  const answerCalls = useCallback((results: Record<string, string>) => run([...turns, ...Object.entries(results).map(([toolCallId, content]): Turn => ({ role: "tool", content, toolCallId }))]), [run, turns]);
  /** Says something else at `index` and asks again; what came after is dropped. */
  const resend = useCallback((index: number, text: string) => run([...turns.slice(0, index), { role: "user", content: text }]), [run, turns]);
  const stop = useCallback(() => abort.current?.abort(), []);
  const clear = useCallback(() => {
    abort.current?.abort();
    setTurns([]);
  }, []);
  return { turns, busy, send, answerCalls, resend, stop, clear };
}
