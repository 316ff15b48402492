import { useCallback, useEffect, useRef, useState } from "react";
import { problemText } from "../../parts/Feedback";
import { requestOf, type Parameters, type Turn } from "./conversation";
import type { Image } from "./images";
import { streamChat } from "./stream";

/** A conversation with one service: send, stop, edit and resend. Leaving the page or the service ends a running answer. */
export function useChat(model: string | undefined, parameters: Parameters, withImages: boolean) {
  const [turns, setTurns] = useState<Turn[]>([]);
  const [busy, setBusy] = useState(false);
  const running = useRef<AbortController | null>(null);

  useEffect(() => () => running.current?.abort(), [model]);

  const run = useCallback(
    async (history: Turn[]) => {
      if (!model) return;
      running.current?.abort();
      const stop = new AbortController();
      running.current = stop;
      setBusy(true);
      setTurns([...history, { role: "assistant", content: "", service: model }]);
      const change = (update: (turn: Turn) => Turn) => {
        // An answer that another one took over from has no place any more.
        if (running.current === stop) setTurns((current) => current.map((turn, index) => (index === history.length ? update(turn) : turn)));
      };
      try {
        await streamChat(requestOf(model, parameters, history, withImages), stop.signal, {
          onText: (text) => change((turn) => ({ ...turn, content: turn.content + text })),
          onReasoning: (text) => change((turn) => ({ ...turn, reasoning: (turn.reasoning ?? "") + text })),
          onCalls: (toolCalls) => change((turn) => ({ ...turn, toolCalls })),
          onMeasured: (measured) => change((turn) => ({ ...turn, measured })),
        });
      } catch (error) {
        change((turn) => (stop.signal.aborted ? { ...turn, stopped: true } : { ...turn, error: problemText(error) }));
      } finally {
        if (running.current === stop) setBusy(false);
      }
    },
    [model, parameters, withImages],
  );

  const send = useCallback((text: string, images: Image[] = []) => run([...turns, { role: "user", content: text, images }]), [run, turns]);
  /** Answers the tool calls of the last turn, and lets the model go on. */
  const answerCalls = useCallback((results: Record<string, string>) => run([...turns, ...Object.entries(results).map(([toolCallId, content]): Turn => ({ role: "tool", content, toolCallId }))]), [run, turns]);
  /** Says something else at `index`, with the same images, and asks again; what came after is dropped. */
  const resend = useCallback((index: number, text: string) => run([...turns.slice(0, index), { role: "user", content: text, images: turns[index]?.images }]), [run, turns]);
  const stop = useCallback(() => running.current?.abort(), []);
  const clear = useCallback(() => {
    running.current?.abort();
    running.current = null;
    setBusy(false);
    setTurns([]);
  }, []);
  return { turns, busy, send, answerCalls, resend, stop, clear };
}
