import { Modal } from "antd";
import { useTranslation } from "react-i18next";
import type { Service } from "../../api/schema";
import { CodeTabs } from "../../parts/Code";
import { samplesFor } from "../../parts/samples";

interface Props {
  open: boolean;
  onClose: () => void;
  service: Service;
  request: object;
}

/** The request of this page as code. */
export function CodeDialog({ open, onClose, service, request }: Props) {
  const { t } = useTranslation();
  const samples = open ? samplesFor(service.type, service.address ?? "", service.name, request as Record<string, unknown>) : [];
  return (
    <Modal title={t("play.code")} open={open} onCancel={onClose} footer={null} width={760}>
      <p className="quiet">{t("play.codeHint")}{samples.some(({ text }) => text.includes("image-1.")) && ` ${t("play.codeImages")}`}</p>
      <CodeTabs samples={samples} />
    </Modal>
  );
}
