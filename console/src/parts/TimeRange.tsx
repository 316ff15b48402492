import { DatePicker } from "antd";
import dayjs from "dayjs";
import { useTranslation } from "react-i18next";
import { useUrlMany } from "./url";

const PRESETS = [["1h", 1], ["24h", 24], ["7d", 168], ["30d", 720]] as const;

/** A time from and to, open at either end, kept in the address as `since` and `until`. */
export function TimeRange() {
  const { t } = useTranslation();
  const [url, setUrl] = useUrlMany();
  const at = (key: string) => {
    const moment = dayjs(url.get(key) ?? Number.NaN);
    return moment.isValid() ? moment : null;
  };
  return (
    <DatePicker.RangePicker
      showTime={{ format: "HH:mm" }}
      format="YYYY-MM-DD HH:mm"
      allowEmpty={[true, true]}
      style={{ width: 330 }}
      value={[at("since"), at("until")]}
      placeholder={[t("range.since"), t("range.until")]}
      aria-label={t("range.since")}
      presets={PRESETS.map(([name, hours]) => ({ label: t(`rangeLast.${name}`), value: () => [dayjs().subtract(hours, "hour").startOf("minute"), null] }))}
      onChange={(range) => setUrl({ since: range?.[0]?.toISOString(), until: range?.[1]?.toISOString(), page: undefined })}
    />
  );
}
