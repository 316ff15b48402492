import { App, Input, Modal } from "antd";
import { useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { problemText } from "./Feedback";

interface Props {
  name: string;
  title: string;
  consequence: ReactNode;
  action: string;
  open: boolean;
  onClose: () => void;
  onConfirm: () => Promise<unknown>;
}

/** Asks for the name of what is about to be destroyed and says what will happen. */
export function ConfirmName({ name, title, consequence, action, open, onClose, onConfirm }: Props) {
  const { t } = useTranslation();
  const { message } = App.useApp();
  const [typed, setTyped] = useState("");
  const [busy, setBusy] = useState(false);
  const confirm = async () => {
    setBusy(true);
    try {
      await onConfirm();
      onClose();
    } catch (error) {
      void message.error(problemText(error), 8);
    } finally {
      setBusy(false);
    }
  };
  return (
    <Modal title={title} open={open} onCancel={onClose} okText={action} cancelText={t("action.cancel")} okButtonProps={{ danger: true, disabled: typed !== name, loading: busy }} onOk={() => void confirm()} afterClose={() => setTyped("")} destroyOnHidden>
      <div className="stack wide">
        <div>{consequence}</div>
        <label className="stack">
          <span>{t("confirm.type", { name })}</span>
          <Input autoFocus value={typed} onChange={(event) => setTyped(event.target.value)} autoComplete="off" />
        </label>
      </div>
    </Modal>
  );
}
